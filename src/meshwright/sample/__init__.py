"""Procedural sample captures with ground truth: objects made of signed distances, painted, lit and photographed."""
