"""The surface that explains depth maps and silhouettes best: Newton steps on vertices, gradients by rendering.

What is minimised, over vertices V with the picture of the mesh drawn in every view:

    E(V) = 1/2 sum_pixels rho(r / sigma)^2  +  sum_pixels (mask - drawn mask)^2  +  1/2 |L (V - stay V_start)|^2

``r`` is by how far the drawn depth leaves the observed step, rho robust (Geman and McClure), the mask's gradient that
of the drawn outline (`rendering.differentiable.edge_gradient`), L the uniform Laplacian. Where depth is smooth the
start is good, and its own bending is kept (``stay`` 1: only the displacement is to be smooth). Under noise, and without
depth, the surface itself is to be (``stay`` 0).

A step solves (L'L + D) dV = -gradient by conjugate gradients (20 ms where a factorisation takes a second). D is
diagonal and bounds the data terms' Hessian: a pixel at incidence cos sees its surface move by 1 / cos of what it moves
across itself, and the weights of its three corners sum to 1. So steps need no length, and detail and whole parts move
at once, where gradient descent would take hundreds of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshwright.engines.nvdiffrec.observations import Observations
from meshwright.geometry.mesh import Mesh
from meshwright.rendering.differentiable import Fragments, depth, edge_gradient, interpolate, rasterize
from meshwright.surface.clean import uniform_laplacian

SMOOTH, STIFF = 0.005, 3.0  # weight of bending, of the typical data weight of a vertex: start kept; start smoothed
GRAZING = 0.2  # cosine of incidence below which depth says too little
FREE = 0.02  # of the typical data weight: what holds vertices that no view sees
LONGEST = 0.01  # of the diagonal: what a step moves a vertex at most
OVERSTEP = 1.8  # D is about twice the Hessian: 16 rounds then reach what 1.0 reaches in 30
RESIDUAL, LONGEST_SOLVE = 1e-6, 1000  # of a solve: relative, and iterations
CUTOFF = 2.5  # sigmas at which a depth counts half


@dataclass(frozen=True)
class Misfit:
    """How badly a mesh explains the views: its depth and mask terms, the masks' mean intersection over union, and how
    bent it is (or its displacement).
    """

    depth: float
    mask: float
    mask_iou: float
    bending: float = 0.0

    @property
    def data(self) -> float:
        """How badly it explains the views."""
        return self.depth + self.mask

    @property
    def total(self) -> float:
        """What is minimised."""
        return self.data + self.bending


class ShapeProblem:
    """The terms of one mesh's optimisation; vertices are float64 (V, 3), in and out."""

    def __init__(self, start: Mesh, seen: Observations) -> None:
        self.start, self.seen = start, seen
        self.faces = torch.tensor(start.faces, dtype=torch.int32, device=seen.masks.device)
        self.stay = 0.0 if seen.noisy or not seen.has_depth else 1.0
        laplacian = uniform_laplacian(start)
        self._bending = (laplacian.T @ laplacian).tocsc()

    def step(self, vertices: Float[np.ndarray, "v 3"]) -> tuple[Float[np.ndarray, "v 3"], Misfit]:
        """Vertices after one Newton step, and the misfit before it."""
        from scipy.sparse import diags

        gradient, weight, misfit = self.data_terms(vertices)
        typical = float(np.median(weight[weight > 0])) if (weight > 0).any() else 1.0
        bending = self._bending * (typical * (SMOOTH if self.stay else STIFF))
        bent = vertices - self.stay * self.start.vertices
        force = bending @ bent
        misfit, right = replace(misfit, bending=0.5 * float((bent * force).sum())), gradient + force
        move = _solve((bending + diags(weight + FREE * typical)).tocsr(), right)
        length = np.linalg.norm(move, axis=1, keepdims=True)
        return vertices - OVERSTEP * move * np.minimum(
            1.0, LONGEST * self.seen.diagonal / np.maximum(length, 1e-30)
        ), misfit

    def data_terms(
        self, vertices: Float[np.ndarray, "v 3"]
    ) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v"], Misfit]:
        """Gradient of the data terms, the diagonal that bounds their Hessian, and the misfit."""
        seen = self.seen
        points = torch.tensor(vertices, dtype=torch.float32, device=self.faces.device, requires_grad=True)
        drawn = rasterize(
            seen.cameras.project(points), self.faces, seen.cameras.height, seen.cameras.width, seen.cameras.perspective
        )
        mask = edge_gradient(drawn.mask[..., None], drawn)[..., 0]
        mask_term = (mask - seen.masks).square().sum()
        (outline,) = torch.autograd.grad(mask_term, points, retain_graph=True)
        pixel = self._pixel_size(drawn)
        depth_term, share = self._depth_term(drawn, vertices)
        inside, weight = _gradients(depth_term, points, share)
        gradient = (outline + inside).double().cpu().numpy()
        # an outline that is a pixel off pulls by 1 / pixel for each of its pixels
        weight = weight.double().cpu().numpy() + np.linalg.norm(outline.double().cpu().numpy(), axis=1) / pixel
        return gradient, weight, Misfit(float(depth_term.detach()), float(mask_term.detach()), self._iou(drawn))

    def _depth_term(self, drawn: Fragments, vertices: Float[np.ndarray, "v 3"]) -> tuple[Tensor, Tensor]:
        """The depth term, and what each pixel adds to its vertices' weights (a number to be differentiated)."""
        seen = self.seen
        with torch.no_grad():
            cosine = interpolate(drawn, self._cosines(vertices))[..., 0]
        counts = seen.trust * (drawn.face_id >= 0) * (cosine > GRAZING)
        apart = depth(drawn) - seen.depth
        apart = torch.sign(apart) * (apart.abs() - seen.half_step).clamp(min=0)
        robust = 1 / (1 + (apart.detach() / (CUTOFF * seen.sigma)).square()).square()
        weight = counts * robust / seen.sigma.square()
        ones = torch.ones(len(vertices), 1, device=cosine.device, requires_grad=True)
        spread = (interpolate(drawn, ones)[..., 0] * weight / cosine.clamp(min=GRAZING).square()).sum()
        (share,) = torch.autograd.grad(spread, ones)
        return 0.5 * (weight * apart.square()).sum(), share[:, 0]

    def _cosines(self, vertices: Float[np.ndarray, "v 3"]) -> Float[Tensor, "n v 1"]:
        """The cosine of incidence at every vertex, for every view."""
        normals = Mesh(vertices, self.start.faces).vertex_normals()
        c2w = torch.linalg.inv(self.seen.cameras.w2c).cpu().numpy()
        if self.seen.cameras.perspective:
            towards = c2w[:, None, :3, 3] - vertices
            towards /= np.maximum(np.linalg.norm(towards, axis=-1, keepdims=True), 1e-30)
        else:
            towards = np.broadcast_to(-c2w[:, None, :3, 2], (len(c2w), *vertices.shape))
        cosines = (towards * normals).sum(-1, keepdims=True)
        return torch.tensor(cosines, dtype=torch.float32, device=self.faces.device)

    def _pixel_size(self, drawn: Fragments) -> float:
        """The world size of a pixel at the object."""
        focal = float(self.seen.cameras.K[:, 0, 0].mean())
        if not self.seen.cameras.perspective:
            return 1.0 / focal
        z = drawn.screen.detach()[..., 2]
        return float(z[torch.isfinite(z)].median()) / focal

    def _iou(self, drawn: Fragments) -> float:
        here, there = drawn.face_id >= 0, self.seen.masks > 0.5
        both, either = (here & there).sum((1, 2)), (here | there).sum((1, 2))
        return float((both / either.clamp(min=1)).mean())


def _solve(matrix, right: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
    from scipy.sparse import diags
    from scipy.sparse.linalg import cg

    scaled = diags(1 / matrix.diagonal())
    found = [cg(matrix, right[:, axis], rtol=RESIDUAL, maxiter=LONGEST_SOLVE, M=scaled)[0] for axis in range(3)]
    return np.stack(found, 1)


def _gradients(term: Tensor, points: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    if not term.requires_grad:
        return torch.zeros_like(points), share
    return torch.autograd.grad(term, points)[0], share
