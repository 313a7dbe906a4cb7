"""T-06, T-07, T-12: views that do not belong together, depth that is none, and bytes hidden in the input.

A capture that is spoilt ends with a coded error or with the verdict ``failure``; it never passes for a good one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capture.making import chunk
from conftest import write_small_sample
from meshwright import reconstruct
from meshwright.errors import EngineError, InputError

SMALL = {"faces": 1500, "texture_size": 256, "resolution": 48}
Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def free_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six views of which nothing is known but their names."""
    return write_small_sample(tmp_path_factory.mktemp("free") / "capture")


def copied(capture: Path, folder: Path) -> Path:
    return Path(shutil.copytree(capture, folder / "capture"))


def exchange(first: Path, second: Path) -> None:
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def front_and_back_exchanged(capture: Path) -> None:
    exchange(capture / "multi_views/front.png", capture / "multi_views/back.png")


def front_and_back_exchanged_with_their_depth(capture: Path) -> None:
    for folder in ("multi_views", "depth_renders"):
        exchange(capture / folder / "front.png", capture / folder / "back.png")


def one_picture_six_times(capture: Path) -> None:
    data = (capture / "multi_views/front.png").read_bytes()
    for path in (capture / "multi_views").iterdir():
        path.write_bytes(data)


def one_picture_turned(capture: Path) -> None:
    path = capture / "multi_views/front.png"
    Image.open(path).rotate(90).save(path)


def pictures_of_another_object(capture: Path) -> None:
    with Image.open(capture / "multi_views/front.png") as image:
        size = image.width
    y, x = np.mgrid[:size, :size] / size - 0.5
    other = np.where((np.abs(x) < 0.42) & (np.abs(y) < 0.1), 40, 255).astype(np.uint8)
    for path in (capture / "multi_views").iterdir():
        Image.fromarray(np.stack([other] * 3, axis=-1)).save(path)


def edit_depth(capture: Path, names: list[str], edit: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in sorted((capture / "depth_renders").iterdir()):
        if not names or path.stem in names:
            values = np.array(Image.open(path))
            Image.fromarray(edit(values).astype(values.dtype)).save(path)


def inverted(values: np.ndarray) -> np.ndarray:
    near, far = (int(edge) for edge in (values[values > 0].min(), values.max()))
    return np.where(values > 0, near + far - values.astype(int), 0)


def sparse(values: np.ndarray) -> np.ndarray:
    """Less than one pixel in a hundred."""
    return np.where(np.random.default_rng(0).random(values.shape) < 0.005, values, 0)


def one_depth_inverted(capture: Path) -> None:
    edit_depth(capture, ["front"], inverted)


def all_depth_inverted(capture: Path) -> None:
    edit_depth(capture, [], inverted)


def all_depth_sparse(capture: Path) -> None:
    edit_depth(capture, [], sparse)


def one_depth_sparse(capture: Path) -> None:
    edit_depth(capture, ["front"], sparse)


PICTURES: list[Spoil] = [
    front_and_back_exchanged, one_picture_six_times, one_picture_turned, pictures_of_another_object,
]  # fmt: skip
WITH_CAMERAS: list[Spoil] = [
    *PICTURES, front_and_back_exchanged_with_their_depth, one_depth_inverted, all_depth_inverted, all_depth_sparse,
    one_depth_sparse,
]  # fmt: skip


def verdict_of(capture: Path) -> str:
    """The verdict; ``refused`` where there is an error instead; what has a mesh has a finite one with some extent."""
    try:
        result = reconstruct(capture, options=SMALL)
    except (InputError, EngineError) as error:
        return "refused" if error.reason else "refused without a reason"
    (run,) = result.engines.values()
    assert run.result is not None
    assert np.isfinite(run.result.mesh.vertices).all()
    assert (np.ptp(run.result.mesh.vertices, axis=0) > 0).all()
    return result.verdict


@pytest.mark.parametrize("spoil", WITH_CAMERAS, ids=lambda spoil: spoil.__name__)
def test_views_that_do_not_fit_given_cameras_never_pass(posed_capture: Path, spoil: Spoil, tmp_path: Path) -> None:
    capture = copied(posed_capture, tmp_path)
    spoil(capture)
    assert verdict_of(capture) in ("failure", "refused")


@pytest.mark.slow
@pytest.mark.parametrize("spoil", PICTURES, ids=lambda spoil: spoil.__name__)
def test_views_that_do_not_fit_each_other_never_pass(free_capture: Path, spoil: Spoil, tmp_path: Path) -> None:
    capture = copied(free_capture, tmp_path)
    spoil(capture)
    assert verdict_of(capture) in ("failure", "refused")


def test_unspoilt_captures_pass(posed_capture: Path, free_capture: Path) -> None:
    """So that the laws above are not kept by failing always."""
    assert verdict_of(posed_capture) in ("normal", "warning")
    assert verdict_of(free_capture) in ("normal", "warning")


def test_bytes_hidden_in_the_input_are_in_no_file_of_the_result(posed_capture: Path, tmp_path: Path) -> None:
    marker = b"<script>hidden-marker</script>"
    capture = copied(posed_capture, tmp_path)
    for path in sorted(capture.rglob("*.png")):
        data = path.read_bytes()
        path.write_bytes(data[:33] + chunk(b"tEXt", b"Comment\0" + marker) + data[33:] + marker)
    saved = reconstruct(capture, options=SMALL).save(tmp_path / "out", zip=True)
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path.name for path in files if b"hidden-marker" in path.read_bytes()] == []
