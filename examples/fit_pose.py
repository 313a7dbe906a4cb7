"""Recover an object's pose from its silhouette alone.

    pip install "meshwright[torch]"
    python examples/fit_pose.py [MESH] [--device cuda] [--save fit_pose.png]

The mesh (by default the shipped result) is drawn once at a pose that is then forgotten. From a guess that is 15 degrees
and 6 % of the object's size off, Adam turns and moves it until its silhouette is the drawn one. Only the gradient of
visible edges tells it where to go: inside and outside, a silhouette is flat.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import weld
from meshwright.geometry.rotations import look_at, rotation_angle_deg
from meshwright.package.readback import load_mesh
from meshwright.rendering.differentiable import CameraBatch, edge_gradient, rasterize

SHIPPED = Path(__file__).parent / "result/fusion/mesh.glb"
SIZE = 256


def camera() -> Camera:
    """One that looks at the origin from above, at an object whose box has a diagonal of 1."""
    K = np.array([[1.5 * SIZE, 0, SIZE / 2], [0, 1.5 * SIZE, SIZE / 2], [0, 0, 1]])
    return Camera(K, look_at(np.array([0.6, 0.5, 1.4]), np.zeros(3), np.array([0.0, 1.0, 0.0])), SIZE, SIZE)


def rotation(turn: Tensor) -> Tensor:
    """The rotation by the vector ``turn`` (axis times angle), differentiable."""
    x, y, z = turn
    zero = torch.zeros_like(x)
    return torch.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3))


def silhouette(view: CameraBatch, vertices: Tensor, faces: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """The mask of the turned and shifted mesh (1, h, w, 1), with the gradient of its outline."""
    moved = vertices @ rotation(turn).T + shift
    seen = rasterize(view.project(moved), faces, view.height, view.width)
    return edge_gradient(seen.mask[..., None], seen)


def fit(view: CameraBatch, vertices: Tensor, faces: Tensor, target: Tensor, steps: int = 150) -> tuple[Tensor, Tensor]:
    """Turn and shift (3,) that bring the mesh's silhouette onto ``target``."""
    turn, shift = (torch.zeros(3, device=vertices.device, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.Adam([turn, shift], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        mask = silhouette(view, vertices, faces, turn, shift)
        loss = (mask - target).square().mean()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == steps - 1:
            print(f"step {step:4d}   pixels that differ {100 * float((mask != target).float().mean()):6.3f} %")
    return turn.detach(), shift.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mesh", nargs="?", type=Path, default=SHIPPED)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--save", type=Path, help="a picture: before and after, the wanted silhouette in red")
    options = parser.parse_args()
    mesh = load_mesh(options.mesh)
    welded = weld(mesh.vertices, mesh.faces)  # along seams of its texture a mesh is cut open, and has no outline there
    points = welded.vertices - welded.vertices.mean(0)
    points /= np.linalg.norm(np.ptp(points, 0))
    vertices = torch.tensor(points, dtype=torch.float32, device=options.device)
    faces = torch.tensor(welded.faces, dtype=torch.int32, device=options.device)
    view = CameraBatch.of([camera()], options.device)
    true_turn = torch.tensor([0.15, -0.18, 0.12], device=options.device)
    true_shift = torch.tensor([0.04, 0.03, -0.03], device=options.device)
    with torch.no_grad():
        target = silhouette(view, vertices, faces, true_turn, true_shift)
        before = silhouette(view, vertices, faces, 0 * true_turn, 0 * true_shift)
    turn, shift = fit(view, vertices, faces, target)
    off = rotation_angle_deg((rotation(turn) @ rotation(true_turn).T).cpu().numpy())
    print(
        f"rotation off by {off:.2f} degrees, position by {100 * float((shift - true_shift).norm()):.2f} % of the size"
    )
    if options.save:
        with torch.no_grad():
            after = silhouette(view, vertices, faces, turn, shift)
        pairs = [torch.cat([target, mask, mask], -1)[0] for mask in (before, after)]
        Image.fromarray((255 * torch.cat(pairs, 1)).byte().cpu().numpy()).save(options.save)
        print(f"wrote {options.save}")


if __name__ == "__main__":
    main()
