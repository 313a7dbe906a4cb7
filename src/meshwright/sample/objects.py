"""The objects that a sample can show, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from meshwright.errors import InputError
from meshwright.geometry.mesh import TexturedMesh

if TYPE_CHECKING:
    from meshwright.sample.bake import Solid

SUMMARIES = {
    "robot": "a robot that is a mug: a bowl, a thin antenna, a handle, words on every side",
    "bottle": "nearly a solid of revolution: only label, cap and foot tell its sides apart",
    "scissors": "thin and flat, with two rings to look through",
}


def sample_object(
    name: str = "robot", *, seed: int = 0, texture_size: int = 2048, light: bool = True, cells: int | None = None
) -> TexturedMesh:
    """A closed textured mesh, centred on the origin, +Y up, front +Z, bounding-box diagonal 1.

    ``seed`` picks the pattern of its paint, ``light`` bakes a soft still light into the texture, ``cells`` is the
    marching-cubes resolution along the longest side (default: the object's own). Same arguments, same arrays. Raises
    `InputError` (reason ``unknown_object``) for a name that is not in `SUMMARIES`.
    """
    from meshwright.sample.bake import textured

    if name not in SUMMARIES:
        raise InputError(
            f"There is no sample object {name!r}.",
            suggestion=f"Choose one of {', '.join(SUMMARIES)}.",
            reason="unknown_object",
        )
    solid = _makers()[name]()
    return textured(solid, cells=cells or solid.cells, texture_size=texture_size, light=light, seed=seed)


def _makers() -> dict[str, Callable[[], Solid]]:
    from meshwright.sample.bottle import bottle
    from meshwright.sample.robot import robot
    from meshwright.sample.scissors import scissors

    return {"robot": robot, "bottle": bottle, "scissors": scissors}
