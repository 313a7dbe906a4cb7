"""Result files: GLB, OBJ, PLY, manifest, archive; writing them and reading them back."""
