"""Known shapes come back: from perturbed starts, from noisy depth, from outlines alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.engines.nvdiffrec.observations import depth_noise, observe
from meshwright.engines.nvdiffrec.refine import refine
from meshwright.engines.nvdiffrec.shape import ShapeProblem
from meshwright.geometry.mesh import Mesh
from meshwright.progress import Context
from surface.solids import box, capture_of, sphere, torus

SIZE = 96


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, float), np.asarray(shape.faces, np.int32))


def waves(mesh: Mesh, height: float) -> Mesh:
    """The mesh with a smooth ripple along its normals."""
    ripple = np.sin(17 * mesh.vertices[:, :1]) * np.cos(13 * mesh.vertices[:, 1:2] + 1)
    return Mesh(mesh.vertices + height * ripple * mesh.vertex_normals(), mesh.faces)


SOLIDS = {
    "sphere": (sphere(0.35), mesh_of(trimesh.creation.icosphere(3, 0.35)), 1.2),
    "torus": (torus(0.28, 0.1), mesh_of(trimesh.creation.torus(0.28, 0.1, 40, 20)), 1.0),
    "box": (box((0.3, 0.2, 0.25)), mesh_of(trimesh.creation.box((0.6, 0.4, 0.5)).subdivide_to_size(0.06)), 1.0),
}


@pytest.mark.parametrize("name", list(SOLIDS))
def test_a_rippled_solid_comes_back(name: str) -> None:
    solid, mesh, diagonal = SOLIDS[name]
    start = waves(mesh, 0.008)
    seen = observe(capture_of(solid, diagonal, SIZE), SIZE)
    got = refine(ShapeProblem(start, seen), 12, Context())
    before, after = (np.abs(solid(m.vertices)).mean() for m in (start, got.mesh))
    assert after < 0.5 * before
    assert got.misfits[got.best].total < 0.5 * got.misfits[0].total
    assert got.misfits[got.best].mask_iou > 0.97


def noisy(capture: CalibratedCapture, sigma: float, dropout: float) -> CalibratedCapture:
    random = np.random.default_rng(0)

    def spoilt(z: np.ndarray) -> np.ndarray:
        kept = (z > 0) & (random.random(z.shape) > dropout)
        return np.where(kept, z * (1 + sigma * random.standard_normal(z.shape)), 0).astype(np.float32)

    views = [replace(v, depth=spoilt(v.depth)) for v in capture.views if v.depth is not None]
    return replace(capture, views=tuple(views))


def test_noise_of_the_depth_is_seen_and_averaged_out() -> None:
    from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface

    solid, _, diagonal = SOLIDS["sphere"]
    capture = noisy(capture_of(solid, diagonal, SIZE), 0.005, 0.05)
    start = reconstruct_surface(capture, SurfaceOptions(resolution=48, faces=3000)).mesh
    seen = observe(capture, SIZE)
    assert seen.noisy
    got = refine(ShapeProblem(start, seen), 10, Context()).mesh
    before, after = (np.abs(solid(m.vertices)).mean() for m in (start, got))
    assert after < 0.5 * before


def test_a_known_noise_is_measured() -> None:
    capture = capture_of(sphere(0.35), 1.2, SIZE)
    assert depth_noise(capture.views[0]) < 0.5 * capture.views[0].depth_step  # steps alone are not noise
    exact = replace(capture.views[0], depth_step=0.0)
    random = np.random.default_rng(1)
    z = np.where(exact.mask, 1.0 + 0.004 * random.standard_normal(exact.mask.shape), 0.0)
    assert depth_noise(replace(exact, depth=z)) == pytest.approx(0.004, rel=0.1)
    assert depth_noise(replace(exact, depth=None)) == 0.0


def test_outlines_alone_give_the_size() -> None:
    """Started a tenth too small, a sphere grows until its outlines are the views'."""
    capture = capture_of(sphere(0.35), 1.2, SIZE, with_depth=False)
    start = mesh_of(trimesh.creation.icosphere(3, 0.315))
    seen = observe(capture, SIZE)
    assert not seen.has_depth
    got = refine(ShapeProblem(start, seen), 30, Context())
    assert got.misfits[got.best].mask_iou > 0.97 > got.misfits[0].mask_iou


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_the_truth_stays(projection: str) -> None:
    """What explains the views already does not move by more than a fifth of a pixel."""
    solid, mesh, diagonal = SOLIDS["sphere"]
    seen = observe(capture_of(solid, diagonal, SIZE, projection), SIZE)
    got = refine(ShapeProblem(mesh, seen), 8, Context()).mesh
    assert np.abs(solid(got.vertices)).mean() < 0.2 * 1.2 / SIZE


def test_views_of_several_sizes_become_one() -> None:
    capture = capture_of(sphere(0.35), 1.2, 128)
    smaller = capture_of(sphere(0.35), 1.2, 64).views[1]
    mixed = replace(capture, views=(capture.views[0], smaller))
    seen = observe(mixed, 100)
    assert seen.masks.shape == seen.depth.shape == (2, 100, 100)
    assert observe(mixed, 4000).masks.shape == (2, 128, 128)  # never finer than the views
