"""Laws of light: the unlit studio changes nothing, Lambert's known answers, both sides alike."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.errors import InputError
from meshwright.rendering.shading import LAMBERT, UNLIT, facing_normals, studio, studio_of
from rendering.scenes import ball, front_camera


def test_unlit_is_one_everywhere() -> None:
    np.testing.assert_array_equal(UNLIT.light_on(np.eye(3)), 1.0)


def test_lambert_known_answers() -> None:
    lamp = studio(0.25, ((0, 0, 2.0), 0.5))
    slanted = np.array([0, np.sin(1.0), np.cos(1.0)])
    np.testing.assert_allclose(
        lamp.light_on(np.array([[0, 0, 1.0], [0, 0, -1.0], slanted])), [0.75, 0.25, 0.25 + 0.5 * np.cos(1.0)]
    )


def test_studio_of_the_evaluation_set() -> None:
    key = np.array([0.35, 0.80, 0.48]) / np.linalg.norm([0.35, 0.80, 0.48])
    fill = np.array([-0.60, 0.15, -0.79]) / np.linalg.norm([-0.60, 0.15, -0.79])
    assert LAMBERT.light_on(key) == pytest.approx(0.40 + 0.55)
    assert LAMBERT.light_on(fill) == pytest.approx(0.40 + 0.20)


def test_facing_normals_face_the_camera() -> None:
    vertices, faces = ball(12)
    camera = front_camera(8, 8)
    normals = facing_normals(vertices, faces, camera)
    assert (normals @ -camera.forward >= 0).all()
    np.testing.assert_allclose(facing_normals(vertices, faces[:, ::-1], camera), normals)


def test_unknown_shading_is_a_typed_error() -> None:
    with pytest.raises(InputError) as caught:
        studio_of("toon")  # type: ignore[arg-type]
    assert caught.value.reason == "unknown_shading"
