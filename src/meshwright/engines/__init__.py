"""Reconstruction engines behind one protocol."""
