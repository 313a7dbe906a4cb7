"""The example that ships does what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

EXAMPLE = Path(__file__).parents[3] / "examples/fit_pose.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fit_pose", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


def test_a_pose_is_recovered_from_one_silhouette(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["fit_pose.py", "--save", str(tmp_path / "pose.png")])
    example.main()
    *_, result, saved = capsys.readouterr().out.splitlines()
    words = result.split()
    assert float(words[words.index("by") + 1]) < 0.5
    assert float(words[words.index("%") - 1]) < 0.5
    assert Path(saved.split()[-1]).exists()


def test_the_gradient_points_home(example: ModuleType) -> None:
    """Turned a little about any axis, a silhouette's loss grows: its gradient turns it back."""
    random = np.random.default_rng(0)
    directions = random.normal(size=(400, 3))
    points = directions / np.linalg.norm(directions, axis=1, keepdims=True) * [0.5, 0.3, 0.15]
    vertices = torch.tensor(points, dtype=torch.float32)
    faces = torch.tensor(ConvexHull(points).simplices, dtype=torch.int32)
    view = example.CameraBatch.of([example.camera()])
    zero = torch.zeros(3)
    target = example.silhouette(view, vertices, faces, zero, zero)
    for axis in range(3):
        turn = torch.nn.functional.one_hot(torch.tensor(axis), 3) * 0.05
        turn.requires_grad_()
        (example.silhouette(view, vertices, faces, turn, zero) - target).square().sum().backward()
        assert turn.grad is not None
        assert turn.grad[axis] > 0
