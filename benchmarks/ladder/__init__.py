"""The perturbation ladder of camera recovery: cases with truth, perturbations in memory, scores."""
