"""Formulas that run on numpy arrays and torch tensors alike.

A function made of operators, methods that both kinds have, and the few helpers here takes either and returns what it
was given; with tensors it is differentiable. torch is never imported: whoever has a tensor has imported it.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int

Array: TypeAlias = Any  # a numpy array or a torch tensor of real numbers


def namespace(array: Array) -> Any:
    """The module ``torch`` if ``array`` is a tensor, else ``numpy``."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else np


def like(values: Any, array: Array) -> Array:
    """Constants as an array of the kind, number type and device of ``array``."""
    module = namespace(array)
    if module is np:
        return np.asarray(values, array.dtype)
    if isinstance(values, module.Tensor):
        return values.to(array)
    return module.tensor(np.asarray(values), dtype=array.dtype, device=array.device)


def dot(a: Float[Array, "*n c"], b: Float[Array, "*n c"]) -> Float[Array, "*n 1"]:
    """Scalar products over the last axis, which stays as 1."""
    if namespace(a) is np:
        return np.einsum("...c,...c->...", a, b)[..., None]  # five times faster than a sum over a short axis
    return (a * b).sum(-1, keepdim=True)


def normalized(vectors: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
    """Unit vectors; zero stays zero."""
    return vectors / dot(vectors, vectors).clip(1e-30) ** 0.5


def mixed(a: Array, b: Array, share: Array) -> Array:
    """``a`` where ``share`` is 0, ``b`` where it is 1, linear between."""
    return a + (b - a) * share


def cells(values: Float[Array, "*n"], count: int | None = None) -> tuple[Int[Array, "*n"], Float[Array, "*n"]]:
    """The grid cell that each value lies in, as an index, and how far into it (0..1, differentiable).

    With a ``count`` of cells the index is within 0..count - 1, and values on the far border are 1 into the last cell.
    """
    low = np.floor(values) if namespace(values) is np else values.detach().floor()
    low = low if count is None else low.clip(0, max(count - 1, 0))
    return (low.astype(np.int64) if namespace(values) is np else low.long()), values - low


def rows(table: Float[Array, "k c"], index: Int[Array, "*n"]) -> Float[Array, "*n c"]:
    """The rows ``index`` of a table. Gradients are summed without sorting, unlike those of ``table[index]`` on CUDA."""
    if namespace(table) is np:
        return np.take(table, index, 0)
    return table.index_select(0, index.reshape(-1)).reshape(*index.shape, table.shape[1])
