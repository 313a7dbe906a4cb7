"""What must be equal in every file of one mesh, whatever the format: faces, welded points, box, area, volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from meshwright.geometry.mesh import TexturedMesh, face_area_vectors

# Text files carry six decimals of an object of diagonal 1 or more digits of a smaller one; Draco has 16 bits a side.
TOLERANCE, QUANTISED_TOLERANCE = 2e-5, 2e-4


@dataclass(frozen=True, eq=False)
class MeshFacts:
    """``faces`` is a count, ``bounds`` (2, 3), ``area`` and ``volume`` are of the whole surface, in world units."""

    faces: int
    bounds: Float[np.ndarray, "2 3"]
    area: float
    volume: float

    @property
    def diagonal(self) -> float:
        """Of the box."""
        return float(np.linalg.norm(self.bounds[1] - self.bounds[0]))

    def differences(self, other: MeshFacts, *, quantised: bool = False) -> list[str]:
        """The names of the facts that differ by more than the formats' rounding."""
        near = QUANTISED_TOLERANCE if quantised else TOLERANCE
        size = self.diagonal
        # An encoder may drop the triangles that its quantisation flattens.
        lost = abs(self.faces - other.faces) > (0.01 * self.faces if quantised else 0)
        found = {
            "their number of faces": lost,
            "their box": bool(np.abs(self.bounds - other.bounds).max() > near * size),
            "their area": abs(self.area - other.area) > 50 * near * max(self.area, size**2),
            "their volume": abs(self.volume - other.volume) > 10 * near * size**3,
        }
        return [name for name, differs in found.items() if differs]


def facts_of(mesh: TexturedMesh) -> MeshFacts:
    """Measure a mesh; the volume is about the box centre, so that open meshes far away compare as well."""
    used = mesh.vertices[np.unique(mesh.faces)]
    bounds = np.stack([used.min(0), used.max(0)])
    vertices = mesh.vertices - bounds.mean(0)
    areas = face_area_vectors(vertices, mesh.faces)
    volume = float((areas * vertices[mesh.faces[:, 0]]).sum() / 6)
    return MeshFacts(len(mesh.faces), bounds, float(np.linalg.norm(areas, axis=1).sum() / 2), volume)


def check_frames(content: Any) -> int:
    """The number of frames of a parsed ``cameras.json``; raises ValueError where one is no rigid camera."""
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list):
        raise ValueError("it has no list of frames")
    for number, frame in enumerate(frames):
        try:
            matrix = np.array(frame["transform_matrix"], float)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"frame {number} has no transform_matrix") from error
        rotation = matrix[:3, :3]
        if matrix.shape != (4, 4) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4):
            raise ValueError(f"the transform_matrix of frame {number} is not a rigid motion")
        if np.linalg.det(rotation) < 0:
            raise ValueError(f"the transform_matrix of frame {number} mirrors")
    return len(frames)
