"""The renderer: visibility, interpolation, shading, previews."""
