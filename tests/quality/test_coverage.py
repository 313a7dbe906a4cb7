"""Shares of the surface, by the engine's record and by visibility."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.geometry.mesh import Coverage, TexturedMesh, vertex_normals
from meshwright.quality.coverage import surface_coverage


def test_six_views_see_all_of_a_body_without_caves(capture: CalibratedCapture, body: TexturedMesh):
    shares = surface_coverage(body, capture.views)
    assert shares.source == "visibility"
    assert shares.seen > 0.99
    assert shares.seen_below_60_deg > 0.95


def test_one_view_sees_less_than_half_and_the_rest_is_invented(capture: CalibratedCapture, body: TexturedMesh):
    shares = surface_coverage(body, capture.views[:1])
    assert 0.25 < shares.seen < 0.5
    assert shares.seen + shares.invented == pytest.approx(1.0, abs=1e-5)
    assert shares.seen_below_60_deg < shares.seen


def test_a_hidden_inner_shell_is_not_seen(capture: CalibratedCapture, body: TexturedMesh):
    both = np.concatenate([body.vertices, 0.5 * body.vertices])
    faces = np.concatenate([body.faces, body.faces + len(body.vertices)])
    shares = surface_coverage(TexturedMesh(both, faces, vertex_normals(both, faces)), capture.views)
    assert shares.invented == pytest.approx(0.2, abs=0.01), "a quarter of the outer area, a fifth of all"


def test_a_recorded_coverage_is_weighed_by_area(capture: CalibratedCapture, body: TexturedMesh):
    record = np.full((64, 128), Coverage.SEEN, np.uint8)
    record[:, 64:] = Coverage.INVENTED
    record[:16, :64] = Coverage.GRAZING
    shares = surface_coverage(replace(body, coverage=record), capture.views)
    corners = body.vertices[body.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    u, v = body.uv[body.faces].mean(1).T
    assert shares.source == "texture"
    assert shares.invented == pytest.approx(area[u > 0.5].sum() / area.sum(), abs=0.01)
    assert shares.seen_below_60_deg == pytest.approx(area[(u < 0.5) & (v > 0.25)].sum() / area.sum(), abs=0.01)
    assert shares.seen == pytest.approx(area[u < 0.5].sum() / area.sum(), abs=0.01)


def test_a_mesh_without_area_has_no_shares(capture: CalibratedCapture):
    none = np.zeros((0, 3))
    shares = surface_coverage(TexturedMesh(none, np.zeros((0, 3), np.int32), none), capture.views)
    assert (shares.seen, shares.invented) == (None, None)
