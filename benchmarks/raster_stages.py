"""What one step of an optimisation costs, stage by stage, on the CPU or on a GPU, and whether the two agree."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from meshwright.rendering.differentiable import CameraBatch, edge_gradient, interpolate, rasterize
from meshwright.rendering.differentiable.backend import Backend, backend_of
from meshwright.rendering.differentiable.topology import neighbours_of
from raster_scenes import displaced_sphere, six_cameras

CHANNELS = 3
Timer = Callable[[Callable[[], object]], float]


@dataclass(frozen=True, eq=False)
class Job:
    """Six views of a mesh: what is differentiated, and what the picture is compared with."""

    vertices: Tensor
    colors: Tensor
    faces: Tensor
    cameras: CameraBatch
    target: Tensor

    @staticmethod
    def of(n_faces: int, size: int, device: str) -> Job:
        vertices, faces, _ = displaced_sphere(n_faces)
        random = torch.Generator().manual_seed(0)
        points = torch.tensor(vertices, dtype=torch.float32, device=device, requires_grad=True)
        colors = torch.rand(len(vertices), CHANNELS, generator=random).to(device).requires_grad_()
        target = torch.rand(6, size, size, CHANNELS, generator=random).to(device)
        cameras = CameraBatch.of(six_cameras(size), device)
        return Job(points, colors, torch.tensor(faces, device=device), cameras, target)

    def step(self) -> None:
        """Forward and backward: projection, ids, interpolation, edge gradients, L2 loss."""
        self.vertices.grad = self.colors.grad = None
        seen = rasterize(self.cameras.project(self.vertices), self.faces, self.cameras.height, self.cameras.width)
        image = edge_gradient(interpolate(seen, self.colors), seen)
        mse_loss(image, self.target).backward()


def best_of(repeats: int) -> Timer:
    """Wall time in ms: the best, for a machine that others use too."""

    def measure(work: Callable[[], object]) -> float:
        work()
        seconds: list[float] = []
        for _ in range(repeats):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
        return 1e3 * min(seconds)

    return measure


def by_events(repeats: int) -> Timer:
    """Time in ms between CUDA events: the median."""

    def measure(work: Callable[[], object]) -> float:
        for _ in range(5):
            work()
        spans = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
        for began, ended in spans:
            began.record()
            work()
            ended.record()
        torch.cuda.synchronize()
        return median(began.elapsed_time(ended) for began, ended in spans)

    return measure


def stages(job: Job, timer: Timer) -> dict[str, float]:
    """Milliseconds of each stage, and of the whole step (which also adds up gradients and allocates)."""
    screen = job.cameras.project(job.vertices).detach()
    backend: Backend = backend_of(screen)
    faces, size = job.faces, (job.cameras.height, job.cameras.width)
    ids = backend.visibility(screen, faces, *size, True)
    colors = job.colors.detach()[None]
    image = backend.interpolate(screen, faces, ids, colors, True)
    leaf = image.clone().requires_grad_()
    grad = (image - job.target).contiguous()
    beside = neighbours_of(faces)

    def loss() -> None:
        leaf.grad = None
        mse_loss(leaf, job.target).backward()

    def project() -> None:
        job.vertices.grad = None
        job.cameras.project(job.vertices).backward(screen)

    return {
        "project": timer(project),
        "ids": timer(lambda: backend.visibility(screen, faces, *size, True)),
        "interp": timer(lambda: backend.interpolate(screen, faces, ids, colors, True)),
        "loss": timer(loss),
        "interp'": timer(
            lambda: backend.interpolate_backward(screen, faces, ids, colors, image, True, True, True),
        ),
        "edges'": timer(lambda: backend.edge_backward(screen, faces, beside, ids, image, grad, True)),
        "whole": timer(job.step),
    }


def captured(job: Job) -> Callable[[], None]:
    """The same step recorded once as a CUDA graph and replayed: without what Python and launches cost."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            job.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        job.step()
    return graph.replay


def floor_bytes(job: Job) -> int:
    """What a step must at least read and write: ids, image, its gradient and the target, each as often as a stage
    that cannot be joined with its neighbours needs it; vertices and faces once each way.
    """
    pixels = job.target.numel() // CHANNELS
    image = 4 * CHANNELS * pixels
    return 4 * pixels * 4 + image * (1 + 2 + 3 + 1 + 1) + 6 * len(job.vertices) * 12 * 4 + 12 * len(job.faces) * 4


def peak_bytes(job: Job) -> int:
    """Most memory that a step takes beyond what the job holds already."""
    job.step()
    if job.vertices.is_cuda:
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        job.step()
        return torch.cuda.max_memory_allocated() - before
    job.vertices.grad = job.colors.grad = None
    ctypes.CDLL(None).malloc_trim(0)  # what an allocator keeps would hide what the step takes
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    job.step()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def stage_row(n_faces: int, size: int, device: str, timer: Timer, embree_ms: float | None = None) -> str:
    """One line of the table of stages."""
    job = Job.of(n_faces, size, device)
    took = stages(job, timer)
    megapixels, peak = 6 * size * size / 1e6, peak_bytes(job)
    if device == "cuda":
        with torch.autograd.set_multithreading_enabled(False):
            took["here"] = timer(job.step)
        took["graph"] = timer(captured(job))
    row = f"{len(job.faces):>8} {size:>5} " + " ".join(f"{ms:>8.2f}" for ms in took.values())
    fastest = min(took["whole"], took.get("graph", inf))
    row += f" {1e-6 * floor_bytes(job) / fastest:>8.1f} {1e-6 * peak / megapixels:>7.0f}"
    return (
        row if embree_ms is None else f"{row} {embree_ms:>8.0f} {embree_ms / (took['ids'] + took['project'] / 2):>6.1f}"
    )


def header(device: str) -> str:
    graph = "     here    graph" if device == "cuda" else ""
    return f"   faces  size  project      ids   interp     loss  interp'   edges'    whole{graph}     GB/s   MB/Mpx"


def agreement(n_faces: int, size: int) -> str:
    """CPU against CUDA on the same screen points: share of equal ids, relative differences of gradients."""
    host, device = (Job.of(n_faces, size, kind) for kind in ("cpu", "cuda"))
    screen = host.cameras.project(host.vertices).detach()
    ids: list[Tensor] = []
    gradients: list[tuple[Tensor, ...]] = []
    for job in (host, device):
        points = screen.to(job.target.device).requires_grad_()
        seen = rasterize(points, job.faces, size, size)
        ids.append(seen.face_id.cpu())
        # The same ids for both, so that what is compared is the gradients alone.
        object.__setattr__(seen, "face_id", ids[0].to(job.target.device))
        image = interpolate(seen, job.colors)
        inside = torch.autograd.grad(mse_loss(image, job.target), (points, job.colors))
        edges = torch.autograd.grad(mse_loss(edge_gradient(image.detach(), seen), job.target), points)
        gradients.append(tuple(value.cpu().double() for value in (*inside, *edges)))
    same = float((ids[0] == ids[1]).double().mean())
    apart = [float((a - b).norm() / a.norm()) for a, b in zip(*gradients, strict=True)]
    return f"{len(host.faces):>8} {size:>5} {same:>10.7f} " + " ".join(f"{value:>10.1e}" for value in apart)


AGREEMENT_HEADER = "   faces  size  equal ids     points     colors      edges   (relative differences of gradients)"
