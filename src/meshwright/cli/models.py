"""``meshwright models``: the weights that engines need, and whether they are on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from meshwright.cli.output import emit_json, stdout
from meshwright.engines.registry import engine_statuses


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """List the model weights that the engines use. Fusion needs none.

    Example: `meshwright models`
    """
    rows = [
        {"engine": status.name, "needs_weights": status.name == "reconviagen", "ready": status.availability.ok}
        for status in engine_statuses()
    ]
    if as_json:
        emit_json({"models": rows})
        return
    for row in rows:
        needs = "needs weights" if row["needs_weights"] else "needs no weights"
        stdout.print(f"{row['engine']:12} {needs}; {'ready' if row['ready'] else 'not in this installation'}")
