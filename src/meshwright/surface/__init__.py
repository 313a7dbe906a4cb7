"""From depth maps to a clean, unwrapped, textured surface."""
