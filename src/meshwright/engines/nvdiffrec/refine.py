"""The rounds of an optimisation: progress, a deadline, the best state kept, and a file to go on from."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from meshwright.engines.nvdiffrec.shape import Misfit, ShapeProblem
from meshwright.geometry.mesh import Mesh

if TYPE_CHECKING:
    from meshwright.engines.nvdiffrec.watch import Watch
    from meshwright.progress import Context

LOST_IOU = 0.01  # of mask overlap that a better depth term may not cost


@dataclass(frozen=True, eq=False)
class Refined:
    """The best mesh, the misfit before each round, and whether the rounds ended early for want of time."""

    mesh: Mesh
    misfits: tuple[Misfit, ...]
    out_of_time: bool = False

    @property
    def best(self) -> int:
        """The round whose start the mesh is."""
        return _best(self.misfits)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A file that holds the state after each round; a state of another mesh or other views is not taken up."""

    path: Path
    key: str

    @staticmethod
    def of(path: Path, problem: ShapeProblem, rounds: int) -> Checkpoint:
        """The checkpoint of a problem, told from others by a hash of what goes into it."""
        digest = hashlib.sha256(f"{rounds}".encode())
        for array in (problem.start.vertices, problem.start.faces, *_arrays(problem)):
            digest.update(np.ascontiguousarray(array).tobytes())
        return Checkpoint(path, digest.hexdigest())

    def load(self) -> _State | None:
        """The state that was saved, if there is one for this problem."""
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                if str(saved["key"]) != self.key:
                    return None
                misfits = [Misfit(*map(float, row)) for row in saved["misfits"]]
                return _State(saved["vertices"], saved["best"], misfits)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def save(self, state: _State) -> None:
        """Replace the file as a whole: a process that dies while writing leaves the older one."""
        rows = np.array([[m.depth, m.mask, m.mask_iou, m.bending] for m in state.misfits])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(self.path.name + ".part")
        with unfinished.open("wb") as file:
            np.savez(file, key=self.key, vertices=state.vertices, best=state.best, misfits=rows)
        os.replace(unfinished, self.path)


@dataclass
class _State:
    """``vertices`` after the rounds so far, ``best`` those whose misfit was the best one so far."""

    vertices: Float[np.ndarray, "v 3"]
    best: Float[np.ndarray, "v 3"]
    misfits: list[Misfit] = field(default_factory=list)


def refine(
    problem: ShapeProblem,
    rounds: int,
    context: Context,
    deadline: float = float("inf"),
    saved: Checkpoint | None = None,
    watch: Watch | None = None,
) -> Refined:
    """``rounds`` Newton steps, fewer if ``deadline`` (`time.monotonic`) comes first; then the best state.

    Best is the least misfit among the states that kept the masks' overlap. ``watch`` sees the mesh before each round.
    Never raises for want of time, nor for a state that cannot be saved; raises `Cancelled` between rounds.
    """
    state = (saved.load() if saved else None) or _State(problem.start.vertices, problem.start.vertices)
    began, first = time.monotonic(), len(state.misfits)
    while len(state.misfits) <= rounds:
        done = len(state.misfits)
        each = (time.monotonic() - began) / max(done - first, 1)
        if time.monotonic() + each > deadline and done > 0:
            break
        context.report(done / (rounds + 1), _message(state.misfits, rounds, each if done > first else None))
        before = state.vertices
        if watch is not None:
            watch(done, Mesh(before, problem.start.faces))
        state.vertices, misfit = problem.step(before)
        state.misfits.append(misfit)
        if _best(state.misfits) == done:
            state.best = before
        if saved is not None:
            with suppress(OSError):  # a disk that is full costs the checkpoint, not the result
                saved.save(state)
    return Refined(Mesh(state.best, problem.start.faces), tuple(state.misfits), len(state.misfits) <= rounds)


def _best(misfits: list[Misfit] | tuple[Misfit, ...]) -> int:
    kept = [k for k, m in enumerate(misfits) if m.mask_iou >= misfits[0].mask_iou - LOST_IOU and np.isfinite(m.total)]
    return min(kept, key=lambda k: misfits[k].total, default=0)


def _message(misfits: list[Misfit], rounds: int, each: float | None) -> str:
    if not misfits:
        return "drawing the start"
    left = "" if each is None else f", about {each * (rounds + 1 - len(misfits)):.0f} s left"
    return f"round {len(misfits)} of {rounds}, misfit {misfits[-1].data:.0f}, mask IoU {misfits[-1].mask_iou:.4f}{left}"


def _arrays(problem: ShapeProblem) -> list[np.ndarray]:
    seen = problem.seen
    tensors = (seen.masks, seen.depth, seen.trust, seen.half_step, seen.sigma, seen.cameras.matrix)
    return [tensor.detach().cpu().numpy() for tensor in tensors]
