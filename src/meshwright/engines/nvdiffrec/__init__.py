"""Geometry and texture by differentiable rendering, from what fusion makes of the views. Needs torch."""
