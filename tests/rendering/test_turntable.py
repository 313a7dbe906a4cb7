"""Laws of turntables: one steady turn, films that play, the same bytes twice, cancelling, what is missing is said."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from meshwright.errors import Cancelled, InputError
from meshwright.geometry.material import Material
from meshwright.geometry.mesh import TexturedMesh
from meshwright.progress import Context, ProgressEvent
from meshwright.rendering.orbit import FILL, upright
from meshwright.rendering.previews import BACKGROUND, turntable_cameras, turntable_frame
from meshwright.rendering.turntable import FilmFormat, Turn, render_turntable
from rendering.scenes import colored_ball

SHORT = Turn(frames=5, size=47, seconds=0.5)


def lopsided() -> TexturedMesh:
    mesh = colored_ball(10)
    return TexturedMesh(mesh.vertices * [1.0, 0.4, 2.0] + [5.0, -3, 1], mesh.faces, mesh.normals, colors=mesh.colors)


def decoded(film: bytes, kind: str) -> list[np.ndarray]:
    if kind == "webp":
        with Image.open(io.BytesIO(film)) as image:
            pictures = []
            for n in range(image.n_frames):
                image.seek(n)
                pictures.append(np.asarray(image.convert("RGB")))
            return pictures
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(film)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_cameras_go_once_round_a_point_that_stays_in_place() -> None:
    mesh = lopsided()
    cameras = turntable_cameras(mesh, 8, 100, elevation_deg=25.0)
    directions = np.array([-camera.forward for camera in cameras])
    np.testing.assert_allclose(np.degrees(np.arcsin(directions[:, 1])), 25, atol=1e-6)
    turn = np.degrees(np.arctan2(directions[:, 0], directions[:, 2])) % 360
    np.testing.assert_allclose(np.diff(turn), 45, atol=1e-6)
    middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    seen = np.array([camera.project(middle)[0] for camera in cameras])
    np.testing.assert_allclose(seen - seen[0], 0, atol=1e-6)
    np.testing.assert_allclose(seen[:, 0], 50, atol=1e-6)
    every = np.concatenate([camera.project(mesh.vertices)[0] for camera in cameras])
    assert np.abs(every - 50).max() == pytest.approx(50 * FILL, abs=0.2)


@pytest.mark.parametrize("kind", get_args(FilmFormat))
def test_films_have_their_frames_and_show_them(kind: FilmFormat) -> None:
    mesh = lopsided()
    if kind == "mp4":
        pytest.importorskip("av")
    film = render_turntable(mesh, kind, SHORT)
    size = 48 if kind == "mp4" else 47
    pictures = decoded(film, kind)
    assert [picture.shape for picture in pictures] == [(size, size, 3)] * 5
    for picture, camera in zip(pictures, turntable_cameras(mesh, 5, size), strict=True):
        drawn = turntable_frame(mesh, camera)
        inside = drawn.std(-1) > 20
        assert np.abs(picture.astype(int) - drawn)[inside].mean() < 16  # lossy, colours at half the resolution
        assert np.abs(picture[:3, :3].astype(int) - BACKGROUND).max() < 4


@pytest.mark.parametrize("kind", get_args(FilmFormat))
def test_the_same_film_has_the_same_bytes(kind: FilmFormat) -> None:
    if kind == "mp4":
        pytest.importorskip("av")
    first, again = (render_turntable(lopsided(), kind, SHORT) for _ in range(2))
    assert first == again


def test_webp_lasts_as_long_as_asked_and_repeats() -> None:
    with Image.open(io.BytesIO(render_turntable(lopsided(), "webp", replace(SHORT, frames=7)))) as image:
        durations = []
        for n in range(image.n_frames):
            image.seek(n)
            image.load()
            durations.append(image.info["duration"])
        assert image.info["loop"] == 0
    assert sum(durations) == 500


def test_mp4_lasts_as_long_as_asked() -> None:
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(render_turntable(lopsided(), "mp4", replace(SHORT, frames=7, seconds=2.0)))) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(2.0, abs=1e-3)
        assert stream.codec_context.name == "h264"


def test_a_material_and_another_up_axis_are_filmed_too() -> None:
    mesh = replace(lopsided(), material=Material(metallic=1.0, roughness=0.3))
    turn = np.eye(4)
    turn[:3, :3] = upright((0.0, 0.0, 1.0))
    straight = decoded(render_turntable(mesh, "webp", SHORT), "webp")
    lying = decoded(render_turntable(mesh.transformed(turn), "webp", SHORT, up=(0.0, 0.0, 1.0)), "webp")
    assert all(np.abs(a.astype(int) - b).mean() < 2 for a, b in zip(straight, lying, strict=True))
    plain = decoded(render_turntable(replace(mesh, material=None), "webp", SHORT), "webp")
    assert np.abs(plain[0].astype(int) - straight[0]).mean() > 2


def test_empty_mesh_gives_a_blank_film() -> None:
    empty = TexturedMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3)))
    for picture in decoded(render_turntable(empty, "webp", SHORT), "webp"):
        assert np.abs(picture.astype(int) - BACKGROUND).max() <= 2


def test_progress_is_told_and_cancelling_stops() -> None:
    events: list[ProgressEvent] = []
    render_turntable(lopsided(), "webp", SHORT, context=Context(events.append))
    assert [event.fraction for event in events] == sorted(event.fraction for event in events)
    assert events[-1].fraction == 1
    assert "frame 5 of 5" in {event.message for event in events}
    polled = iter([False, False, True])
    with pytest.raises(Cancelled):
        render_turntable(lopsided(), "webp", SHORT, context=Context(is_cancelled=lambda: next(polled, True)))


@pytest.mark.parametrize("turn", [Turn(frames=1), Turn(size=8), Turn(seconds=0), Turn(size=10_000)])
def test_films_that_make_no_sense_are_refused(turn: Turn) -> None:
    with pytest.raises(InputError) as caught:
        render_turntable(lopsided(), "webp", turn)
    assert caught.value.reason == "bad_film"


def test_unknown_format_and_missing_library_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught:
        render_turntable(lopsided(), "gif")  # type: ignore[arg-type]
    assert caught.value.reason == "film_unknown"
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError) as caught:
        render_turntable(lopsided(), "mp4")
    assert caught.value.reason == "extra_missing"
    assert "meshwright[video]" in caught.value.suggestion
