"""Several parts with several textures become one mesh with one texture."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from meshwright.errors import FileTooLarge
from meshwright.geometry.material import Material
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.gltf_material import material_maps

GUTTER = 8  # texels repeated around each packed texture, so that filtering and small mip levels do not bleed
CELL = 4  # texels a side of a face that gets its vertex colours as texture
MAX_SIDE = 16384
TOLERANCE = 1e-3  # uv this far outside 0..1 is rounding, not tiling


@dataclass(frozen=True, eq=False)
class Skin:
    """A texture and where each vertex lies in it: uv from the top left, outside 0..1 where it tiles."""

    uv: Float[np.ndarray, "n 2"]
    texture: UInt8[np.ndarray, "h w 3"]

    @property
    def size(self) -> Int[np.ndarray, "2"]:
        """Texture (width, height)."""
        return np.array([self.texture.shape[1], self.texture.shape[0]])

    @property
    def key(self) -> str:
        """Equal textures have equal keys."""
        return hashlib.sha256(repr(self.texture.shape).encode() + self.texture.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Part:
    """One geometry with a skin, or with colours per vertex (uint8 sRGB), or with neither.

    ``material`` has its base colour factor in the skin or colours already; its textures lie in the skin's uv.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "n 3"]
    skin: Skin | None = None
    colors: UInt8[np.ndarray, "n 3"] | None = None
    material: Material | None = None

    def take(self, index: Int[np.ndarray, "k"], faces: Int[np.ndarray, "m 3"]) -> Part:
        """The part with vertices picked (and repeated) by ``index`` under new faces."""
        return Part(
            self.vertices[index],
            faces,
            self.normals[index],
            None if self.skin is None else replace(self.skin, uv=self.skin.uv[index]),
            None if self.colors is None else self.colors[index],
            self.material,
        )

    def split(self) -> Part:
        """The part with three vertices a face."""
        return self.take(self.faces.ravel(), np.arange(self.faces.size, dtype=np.int32).reshape(-1, 3))


def merge_parts(parts: Sequence[Part], grey: int) -> TexturedMesh:
    """One mesh of all parts; uv within 0..1. Parts without a skin beside skinned ones get one of their colours.

    The mesh has the material that all parts share, if they do, unless its textures would have to be packed.
    """
    if all(part.skin is None for part in parts):
        return replace(_joined(parts, colors=_all_colors(parts, grey)), material=_shared(parts, with_maps=False))
    skinned = [_untiled(*_skinned(part, grey)) for part in parts]
    textures = {skin.key: skin.texture for _, skin in skinned}
    geometry = [part for part, _ in skinned]
    if len(textures) == 1:
        uv = np.concatenate([skin.uv for _, skin in skinned])
        texture = next(iter(textures.values()))
        return replace(_joined(geometry), uv=uv, texture=texture, material=_shared(geometry, with_maps=True))
    atlas, corners = pack_textures(list(textures.values()))
    place = dict(zip(textures, corners, strict=True))
    size = np.array([atlas.shape[1], atlas.shape[0]])
    uv = np.concatenate([(skin.uv * skin.size + place[skin.key]) / size for _, skin in skinned])
    return replace(_joined(geometry), uv=uv, texture=atlas, material=_shared(geometry, with_maps=False))


def pack_textures(
    textures: Sequence[UInt8[np.ndarray, "h w 3"]],
) -> tuple[UInt8[np.ndarray, "H W 3"], list[Int[np.ndarray, "2"]]]:
    """Textures on shelves of one atlas, tallest first, each with a gutter; their corners (x, y) in the given order.

    Raises:
        FileTooLarge: when the atlas would pass 16384 texels a side.
    """
    border = ((GUTTER, GUTTER), (GUTTER, GUTTER), (0, 0))
    padded = [np.pad(texture, border, mode="edge") for texture in textures]
    area = sum(image.shape[0] * image.shape[1] for image in padded)
    width = max(max(image.shape[1] for image in padded), int(np.ceil(np.sqrt(area))))
    corners, x, y, shelf = [np.zeros(2, int)] * len(padded), 0, 0, 0
    for index in sorted(range(len(padded)), key=lambda i: (-padded[i].shape[0], i)):
        height, wide = padded[index].shape[:2]
        if x + wide > width:
            x, y, shelf = 0, y + shelf, 0
        corners[index] = np.array([x, y])
        x, shelf = x + wide, max(shelf, height)
    _check_side(max(width, y + shelf))
    atlas = np.zeros((y + shelf, width, 3), np.uint8)
    for image, (left, top) in zip(padded, corners, strict=True):
        atlas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return atlas, [corner + GUTTER for corner in corners]


def _shared(parts: Sequence[Part], *, with_maps: bool) -> Material | None:
    """The material of all parts; None where they differ, or where it has textures and ``with_maps`` is False."""
    first = parts[0].material
    if first is None or (material_maps(first) and not with_maps):
        return None
    return first if all(_same(first, part.material) for part in parts[1:]) else None


def _same(one: Material, other: Material | None) -> bool:
    if other is None:
        return False
    maps, others = material_maps(one), material_maps(other)
    numbers = [(m.base_color, m.metallic, m.roughness, m.normal_scale) for m in (one, other)]
    return (
        numbers[0] == numbers[1]
        and maps.keys() == others.keys()
        and all(maps[name] is others[name] or np.array_equal(maps[name], others[name]) for name in maps)
    )


def _all_colors(parts: Sequence[Part], grey: int) -> UInt8[np.ndarray, "n 3"] | None:
    """Colours of all vertices, grey where a part has none; None when no part has any."""
    if all(part.colors is None for part in parts):
        return None
    return np.concatenate([_colors(part, grey) for part in parts])


def _colors(part: Part, grey: int) -> UInt8[np.ndarray, "n 3"]:
    return np.full(part.vertices.shape, grey, np.uint8) if part.colors is None else part.colors


def _joined(parts: Sequence[Part], colors: UInt8[np.ndarray, "n 3"] | None = None) -> TexturedMesh:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    return TexturedMesh(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate(faces).astype(np.int32),
        normals=np.concatenate([part.normals for part in parts]),
        colors=colors,
    )


def _skinned(part: Part, grey: int) -> tuple[Part, Skin]:
    """The part and its skin; colours per vertex become one, of a single cell or of a cell a face."""
    if part.skin is not None:
        return part, part.skin
    colors = _colors(part, grey)
    if (colors == colors[0]).all():
        return part, Skin(np.full((len(colors), 2), 0.5), np.tile(colors[0], (CELL, CELL, 1)))
    part = replace(part, colors=colors).split()
    return part, _cells(_colors(part, grey).reshape(-1, 3, 3))


def _cells(corners: UInt8[np.ndarray, "m 3 3"]) -> Skin:
    """A cell a face, in which the colour runs linearly between the texels of its three corners.

    The texels just beyond the far edge continue the run and are clipped, so saturated colours may lose some levels.
    """
    columns = int(np.ceil(np.sqrt(len(corners))))
    _check_side(columns * CELL)
    step = np.linspace(0.0, 1.0, CELL)
    s, t = (axis[None, :, :, None] for axis in np.meshgrid(step, step))
    a, b, c = (corners[:, k].astype(float)[:, None, None] for k in range(3))
    cells = np.zeros((columns * columns, CELL, CELL, 3), np.uint8)
    cells[: len(corners)] = np.rint(np.clip(a + (b - a) * s + (c - a) * t, 0, 255))
    texture = cells.reshape(columns, columns, CELL, CELL, 3).swapaxes(1, 2).reshape(columns * CELL, columns * CELL, 3)
    number = np.arange(len(corners))
    corner = np.stack([number % columns, number // columns], 1)[:, None] * CELL + 0.5
    offsets = np.array([[0, 0], [CELL - 1, 0], [0, CELL - 1]])
    return Skin((corner + offsets).reshape(-1, 2) / (columns * CELL), np.ascontiguousarray(texture))


def _untiled(part: Part, skin: Skin) -> tuple[Part, Skin]:
    """The same with uv in 0..1: each face is shifted by whole tiles, then the texture is repeated as needed."""
    if skin.uv.min() >= -TOLERANCE and skin.uv.max() <= 1 + TOLERANCE:
        return part, replace(skin, uv=np.clip(skin.uv, 0.0, 1.0))
    shift = np.floor(skin.uv[part.faces].min(1) + TOLERANCE).astype(np.int64)  # (m, 2)
    keys = np.concatenate([part.faces.reshape(-1, 1), np.repeat(shift, 3, axis=0)], 1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    part = part.take(unique[:, 0], inverse.reshape(-1, 3).astype(np.int32))
    uv = skin.uv[unique[:, 0]] - unique[:, 1:]
    repeats = np.maximum(np.ceil(uv.max(0) - TOLERANCE), 1).astype(int)
    texture = _tiled(skin.texture, repeats)
    part = replace(part, material=_with_tiled_maps(part.material, repeats))
    return part, Skin(np.clip(uv, 0, repeats) / repeats, texture)


def _tiled(texture: UInt8[np.ndarray, "h w 3"], repeats: Int[np.ndarray, "2"]) -> UInt8[np.ndarray, "H W 3"]:
    _check_side(int((np.array([texture.shape[1], texture.shape[0]]) * repeats).max()))
    return np.tile(texture, (repeats[1], repeats[0], 1))


def _with_tiled_maps(material: Material | None, repeats: Int[np.ndarray, "2"]) -> Material | None:
    if material is None:
        return None
    shared, normals = material.metallic_roughness, material.normal_texture
    return replace(
        material,
        metallic_roughness=None if shared is None else _tiled(shared, repeats),
        normal_texture=None if normals is None else _tiled(normals, repeats),
    )


def _check_side(side: int) -> None:
    if side > MAX_SIDE:
        raise FileTooLarge(
            f"The textures of the mesh make one of {side} texels a side.",
            suggestion="Bake the mesh to one texture of at most 16384 x 16384 texels first.",
            reason="texture_too_large",
        )
