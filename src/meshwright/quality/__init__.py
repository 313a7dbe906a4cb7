"""Honest measurement of a mesh against a capture."""
