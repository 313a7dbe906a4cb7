"""Material and light: a known one comes back as far as six photos tell, and what they do not tell stays as it was."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest
import torch

from engines.nvdiffrec.lit_pebble import SIZE, TEXTURE, blended, color_error, pebble, photographed, studio, white
from meshwright.capture.calibrated import CalibratedCapture
from meshwright.engines.nvdiffrec.material import WORSE, Solved, solve_material
from meshwright.errors import Cancelled
from meshwright.geometry.material import Material
from meshwright.geometry.mesh import Coverage, TexturedMesh
from meshwright.progress import Context, ProgressEvent
from meshwright.rendering.environment import Light

ROUNDS = 50
Case = tuple[TexturedMesh, TexturedMesh, CalibratedCapture, Solved]


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread() -> Generator[None]:
    """Tests share the cores, and torch's threads wait for each other busily."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def solved(truth: TexturedMesh, light: Light, rounds: int = ROUNDS) -> Case:
    """(truth, unlit start, capture, result)."""
    capture = photographed(truth, light)
    start = blended(capture)
    return truth, start, capture, solve_material(start, capture, SIZE, rounds, "cpu", Context())


@pytest.fixture(scope="module")
def plastic() -> Case:
    return solved(pebble(0.25, 0.0), studio())


@pytest.fixture(scope="module")
def chalk() -> Case:
    return solved(pebble(0.8, 0.0), studio())


@pytest.fixture(scope="module")
def metal() -> Case:
    return solved(pebble(0.25, 1.0), studio())


@pytest.fixture(scope="module")
def even() -> Case:
    return solved(pebble(0.5, 0.0), white())


def gloss(mesh: TexturedMesh) -> tuple[np.ndarray, np.ndarray]:
    """(roughness, metalness) of seen texels."""
    assert mesh.material is not None
    assert mesh.material.metallic_roughness is not None
    assert mesh.coverage is not None
    seen = mesh.material.metallic_roughness[mesh.coverage >= Coverage.SEEN] / 255
    return seen[:, 1], seen[:, 2]


@pytest.mark.parametrize(("name", "gain_db", "share"), [("plastic", 4, 0.5), ("chalk", 2, 0.6), ("metal", 6, 0.6)])
def test_a_known_material_comes_back(request: pytest.FixtureRequest, name: str, gain_db: float, share: float) -> None:
    """Photos are shown better than by the unlit texture, and much of the light is gone from the colours."""
    truth, start, _, got = request.getfixturevalue(name)
    assert got.psnr > got.psnr_unlit + gain_db
    assert color_error(got.mesh, truth) < share * color_error(start, truth)


def test_the_smoother_of_two_is_found_smoother(plastic: Case, chalk: Case) -> None:
    assert np.median(gloss(plastic[3].mesh)[0]) < np.median(gloss(chalk[3].mesh)[0]) - 0.1


def test_a_metal_is_told_by_its_reflections_from_what_is_none(plastic: Case, chalk: Case, metal: Case) -> None:
    assert (gloss(metal[3].mesh)[1] > 0.5).all()
    assert (gloss(plastic[3].mesh)[1] < 0.5).all()
    assert (gloss(chalk[3].mesh)[1] < 0.5).all()


def test_a_white_room_gives_back_the_colours(even: Case) -> None:
    """No light is invented; colours keep the brightness of the photos too, and gloss is the default."""
    truth, start, _, got = even
    assert got.light.std() < 0.05
    assert color_error(got.mesh, truth) < min(0.05, color_error(start, truth))
    roughness, metallic = gloss(got.mesh)
    np.testing.assert_allclose(roughness, 0.6, atol=0.01)
    assert (metallic == 0).all()


def test_unseen_texels_have_the_default_gloss(plastic: Case) -> None:
    _, start, capture, _ = plastic
    front = replace(capture, views=capture.views[:1])
    assert start.coverage is not None
    coverage = start.coverage.copy()
    coverage[: len(coverage) // 2] = np.minimum(coverage[: len(coverage) // 2], Coverage.INVENTED)
    got = solve_material(replace(start, coverage=coverage), front, SIZE, 20, "cpu", Context()).mesh
    assert got.material is not None
    assert got.material.metallic_roughness is not None
    unseen = got.material.metallic_roughness[coverage == Coverage.INVENTED]
    assert len(unseen) > 100
    np.testing.assert_array_equal(unseen[:, 1:], np.broadcast_to([153, 0], (len(unseen), 2)))


def test_what_shows_the_photos_worse_is_not_taken(plastic: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    _, start, capture, _ = plastic
    monkeypatch.setattr("meshwright.engines.nvdiffrec.material._colors", lambda *_: np.zeros_like(start.texture))
    got = solve_material(start, capture, SIZE, 1, "cpu", Context())
    assert got.mesh.texture is start.texture
    assert got.psnr == got.psnr_unlit > 20
    assert (got.light == 1).all()
    assert WORSE in got.notes[0]


@pytest.mark.parametrize("kind", ["black", "masked", "one view", "no rounds"])
def test_nothing_is_ever_not_finite(plastic: Case, kind: str) -> None:
    _, start, capture, _ = plastic
    views = capture.views
    if kind == "black":
        views = (replace(views[0], rgb=np.zeros_like(views[0].rgb)), *views[1:])
    if kind == "masked":
        views = tuple(replace(view, rgb_mask=np.zeros(view.rgb.shape[:2], bool)) for view in views)
    if kind == "one view":
        views = views[:1]
    rounds = 0 if kind == "no rounds" else 5
    got = solve_material(start, replace(capture, views=views), SIZE, rounds, "cpu", Context())
    assert np.isfinite(got.light).all()
    assert np.isfinite([got.psnr, got.psnr_unlit]).all()
    assert got.psnr >= got.psnr_unlit
    assert len(got.notes) == 1
    if kind in ("masked", "no rounds"):
        assert got.mesh.texture is start.texture
        assert got.mesh.material is not None
        assert vars(got.mesh.material) == vars(Material(metallic=0.0, roughness=0.6))


def test_the_same_twice(plastic: Case) -> None:
    _, start, capture, _ = plastic
    one, two = (solve_material(start, capture, SIZE, 5, "cpu", Context()) for _ in range(2))
    np.testing.assert_array_equal(one.mesh.texture, two.mesh.texture)
    np.testing.assert_array_equal(one.light, two.light)


def test_it_tells_how_far_it_is_and_stops_when_asked(plastic: Case) -> None:
    _, start, capture, _ = plastic
    events: list[ProgressEvent] = []
    solve_material(start, capture, SIZE, 3, "cpu", Context(on_progress=events.append))
    assert len({event.fraction for event in events}) > 8
    with pytest.raises(Cancelled):
        solve_material(start, capture, SIZE, 3, "cpu", Context(is_cancelled=lambda: True))


def test_a_normal_map_takes_part(plastic: Case) -> None:
    """A flat one changes nothing."""
    _, start, capture, _ = plastic
    flat = np.full((TEXTURE, TEXTURE, 3), (128, 128, 255), np.uint8)
    with_map = replace(start, material=Material(metallic=0.0, normal_texture=flat))
    one, two = (solve_material(mesh, capture, SIZE, 3, "cpu", Context()) for mesh in (start, with_map))
    assert two.mesh.material is not None
    assert two.mesh.material.normal_texture is flat
    assert abs(one.psnr - two.psnr) < 0.3
