"""Pictures of a textured mesh: supersampled, mip-mapped, averaged in sRGB display space over a grey background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import Mesh, TexturedMesh
from meshwright.rendering.deferred import Scene, shade_deferred
from meshwright.rendering.environment import Light
from meshwright.rendering.paint import Paint, finite, paint_of, plain_paint, texel_densities
from meshwright.rendering.raster import project_vertices, rasterize_points
from meshwright.rendering.sampling import mix_trilinear
from meshwright.rendering.shading import Shading, Studio, facing_normals, studio_of
from meshwright.rendering.softboxes import camera_light
from meshwright.rendering.threads import kernel, over_rows
from meshwright.rendering.visibility import checked_faces

__all__ = ["Paint", "Rendering", "Wire", "paint_of", "plain_paint", "render", "render_painted"]


@dataclass(frozen=True, eq=False)
class Rendering:
    """``rgb`` uint8 composited over the background, ``coverage`` float32 0..1 (share of the pixel that is object),
    ``depth`` float32 z-depth at the pixel centre in world units, 0 = none.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    coverage: Float[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]


@dataclass(frozen=True)
class Wire:
    """Lines along face edges: grey level, greatest width in pixels, and greatest share of a face's height."""

    grey: float
    width_px: float
    share: float


def render(
    mesh: TexturedMesh | Mesh,
    camera: Camera,
    *,
    supersample: int = 2,
    background: int = 255,
    shading: Shading | Studio | Light = "unlit",
) -> Rendering:
    """A picture of ``mesh`` at the camera's size.

    Each pixel is the mean of ``supersample`` x ``supersample`` samples in sRGB display space, with ``background``
    (a grey level) where there is no object; both sides of faces are drawn and alpha is ignored. A texture is read at
    the mip level that fits a sample's footprint. Meshes without texture show their vertex colours, or plain grey.
    Faces with a vertex at or behind the near plane are dropped.

    ``shading`` "unlit" and "lambert" (or a `Studio`) multiply display colours. "pbr" is a soft studio that goes with
    the camera, a `Light` any environment: the mesh's material reflects it, in linear light, shown without tone mapping.
    """
    return render_painted(mesh, paint_of(mesh), camera, supersample=supersample, background=background, shading=shading)


def render_painted(
    mesh: TexturedMesh | Mesh,
    paint: Paint,
    camera: Camera,
    *,
    supersample: int = 2,
    background: int = 255,
    shading: Shading | Studio | Light = "unlit",
    wire: Wire | None = None,
) -> Rendering:
    """`render` with the paint in hand, and with the face edges drawn if a ``wire`` is given."""
    light = shading if isinstance(shading, Light) else camera_light(camera) if shading == "pbr" else studio_of(shading)
    vertices = np.asarray(mesh.vertices, np.float64)
    faces = checked_faces(mesh.faces, len(vertices))
    dense = camera.resized(camera.width * supersample, camera.height * supersample)
    seen = project_vertices(vertices, dense)
    scene = Scene(
        mesh, paint, camera, faces, seen, rasterize_points(seen, faces, dense.height, dense.width), supersample
    )
    if isinstance(light, Light):
        rgb, coverage = shade_deferred(scene, light, float(background))
    else:
        rgb, coverage = _shade_studio(scene, light, float(background), wire or Wire(0.0, 0.0, 0.0))
    depth = scene.fragments.depth[supersample // 2 :: supersample, supersample // 2 :: supersample]
    if supersample % 2 == 0:
        depth = rasterize_points(project_vertices(vertices, camera), faces, camera.height, camera.width).depth
    return Rendering(np.rint(np.clip(rgb, 0, 255)).astype(np.uint8), coverage, np.ascontiguousarray(depth))


def _shade_studio(
    scene: Scene, light: Studio, background: float, line: Wire
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """The picture (0..255) and the coverage, by the fast kernel; `render_reference` says the same in numpy."""
    mesh, paint, camera, fragments, seen = scene.mesh, scene.paint, scene.camera, scene.fragments, scene.seen
    towards, normals = np.zeros((1, 3)), np.zeros((1, 3))
    if len(light.lights):
        towards = facing_normals(finite(mesh.vertices), scene.faces, camera)
        normals = finite(mesh.normals if isinstance(mesh, TexturedMesh) else mesh.vertex_normals())
    rgb = np.zeros((camera.height, camera.width, 3), np.float32)
    coverage = np.zeros((camera.height, camera.width), np.float32)
    samples = (fragments.face_id, fragments.barycentrics, fragments.depth)
    surface = (paint.textured, paint.uv, paint.pyramid.texels, paint.pyramid.levels, paint.colors)
    geometry = (scene.faces, seen.points, seen.perspective, texel_densities(paint, scene.faces, seen))
    lighting = (light.ambient, light.lights, towards, normals)
    lines = (line.grey, line.width_px * scene.supersample, line.share)

    def band(low: int, high: int) -> None:
        shade_rows(samples, geometry, surface, lighting, lines, scene.supersample, background, low, high, rgb, coverage)

    over_rows(camera.height, band)
    return rgb, coverage


@kernel()
def shade_rows(samples, geometry, surface, lighting, lines, supersample, background, row_start, row_end, rgb, coverage):
    """Shade all samples of output rows ``row_start..row_end`` and average them over the background."""
    ids, barycentrics, depth = samples
    faces, points, perspective, densities = geometry
    textured, uv, texels, levels, colors = surface
    ambient, lights, towards, normals = lighting
    share = 1.0 / (supersample * supersample)
    color, total, normal = np.zeros(3), np.zeros(3), np.zeros(3)
    for row in range(row_start, row_end):
        for col in range(coverage.shape[1]):
            hits = 0
            total[:] = 0.0
            for n in range(supersample * supersample):
                y, x = row * supersample + n // supersample, col * supersample + n % supersample
                f = ids[y, x]
                if f < 0:
                    continue
                hits += 1
                i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
                wi, wj, wk = barycentrics[y, x, 0], barycentrics[y, x, 1], barycentrics[y, x, 2]
                color[:] = 0.0
                if textured:
                    u = wi * uv[i, 0] + wj * uv[j, 0] + wk * uv[k, 0]
                    v = wi * uv[i, 1] + wj * uv[j, 1] + wk * uv[k, 1]
                    density = densities[f] * depth[y, x] ** 3 if perspective else densities[f]
                    mix_trilinear(texels, levels, u, v, 0.5 * np.log2(max(density, 1e-30)), 1.0, color)
                else:
                    for c in range(3):
                        color[c] = wi * colors[i, c] + wj * colors[j, c] + wk * colors[k, c]
                light = ambient
                if len(lights) > 0:
                    for c in range(3):
                        normal[c] = wi * normals[i, c] + wj * normals[j, c] + wk * normals[k, c]
                    light = _light_at(ambient, lights, normal, towards[f])
                drawn = _line_share(points, i, j, k, x + 0.5, y + 0.5, lines) if lines[1] > 0.0 else 0.0
                for c in range(3):
                    total[c] += (1.0 - drawn) * min(light * color[c], 255.0) + drawn * lines[0]
            coverage[row, col] = hits * share
            for c in range(3):
                rgb[row, col, c] = total[c] * share + (1.0 - hits * share) * background


@kernel()
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel()
def _light_at(ambient, lights, normal, towards):
    """Lambert's law. The normal is turned to the side of the face that the camera sees (``towards``)."""
    length = np.sqrt(_dot(normal, normal))
    if length < 1e-6:
        normal, length = towards, 1.0
    scale = (-1.0 if _dot(normal, towards) < 0.0 else 1.0) / length
    light = ambient
    for n in range(len(lights)):
        light += lights[n, 3] * max(scale * _dot(lights[n], normal), 0.0)
    return light


@kernel()
def _line_share(points, i, j, k, px, py, lines):
    """How much of the sample is covered by the nearest edge line of its face (box filter one sample wide)."""
    ax, ay = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
    bx, by = points[k, 0] - points[j, 0], points[k, 1] - points[j, 1]
    cx, cy = points[i, 0] - points[k, 0], points[i, 1] - points[k, 1]
    la, lb, lc = np.sqrt(ax * ax + ay * ay), np.sqrt(bx * bx + by * by), np.sqrt(cx * cx + cy * cy)
    da = abs(ax * (py - points[i, 1]) - ay * (px - points[i, 0])) / max(la, 1e-12)
    db = abs(bx * (py - points[j, 1]) - by * (px - points[j, 0])) / max(lb, 1e-12)
    dc = abs(cx * (py - points[k, 1]) - cy * (px - points[k, 0])) / max(lc, 1e-12)
    lowest = abs(ax * by - ay * bx) / max(la, lb, lc, 1e-12)
    half = 0.5 * min(lines[1], lines[2] * lowest)
    return min(max(half - min(da, db, dc) + 0.5, 0.0), min(1.0, 2.0 * half))
