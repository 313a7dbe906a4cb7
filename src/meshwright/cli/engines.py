"""``meshwright engines``: which engines there are, which can run here, and their options."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.table import Table

from meshwright.cli.output import emit_json, stdout
from meshwright.engines.protocol import OptionInfo, describe_options
from meshwright.engines.registry import EngineStatus, engine_statuses, find_engine
from meshwright.errors import EngineUnavailable


def engines(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """List the engines, whether each can run on this machine, how to get it if not, and its options.

    Example: `meshwright engines --json`
    """
    statuses = engine_statuses()
    options = {status.name: _options(status.name) for status in statuses}
    if as_json:
        rows = [
            {**dataclasses.asdict(status), "options": [dataclasses.asdict(info) for info in options[status.name]]}
            for status in statuses
        ]
        emit_json({"engines": rows})
        return
    stdout.print(_overview(statuses))
    for name, infos in options.items():
        if infos:
            stdout.print(_option_table(name, infos))


def _options(name: str) -> tuple[OptionInfo, ...]:
    try:
        return describe_options(find_engine(name).options_type)
    except EngineUnavailable:
        return ()


def _overview(statuses: tuple[EngineStatus, ...]) -> Table:
    table = Table("engine", "here", "what it does", "how to get it", title="Engines", title_justify="left")
    for status in statuses:
        state = status.availability
        here = "[green]yes[/]" if state.ok else "[yellow]no[/]"
        table.add_row(status.name, here, status.summary, state.how or ("" if state.ok else state.reason))
    return table


def _option_table(name: str, infos: tuple[OptionInfo, ...]) -> Table:
    table = Table("option", "type", "default", "range", "meaning", title=f"Options of {name}", title_justify="left")
    for info in infos:
        limits = ", ".join(info.choices) or " to ".join(f"{x:,}" for x in (info.minimum, info.maximum) if x is not None)
        table.add_row(info.name, info.type, str(info.default), limits, info.help)
    return table
