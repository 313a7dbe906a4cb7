"""Immutable geometric values: cameras, rotations, similarities, meshes. No I/O."""
