"""How the command line speaks: a progress bar for people, one JSON object a line for programs, or nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from meshwright.errors import MeshwrightError
from meshwright.progress import Context, ProgressEvent

# Progress and errors go to stderr, so that stdout holds the answer alone and can be piped.
stdout = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)

Said = TypeVar("Said", bound="Remark")

VERDICT_STYLE = {"normal": "bold green", "warning": "bold yellow", "failure": "bold red"}
MIN_STEP = 0.005  # JSON events closer than this, in the same stage, say nothing new


def emit_json(value: dict[str, Any]) -> None:
    """Write one JSON object as one line to stdout, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def verdict_text(verdict: str | None) -> Text:
    """A verdict in its colour."""
    return Text(verdict or "-", style=VERDICT_STYLE.get(verdict or "", ""))


@contextmanager
def progress_context(*, as_json: bool, quiet: bool) -> Generator[Context]:
    """A `Context` whose reports are shown as the user asked."""
    if as_json:
        yield Context(on_progress=_JsonEvents())
    elif quiet:
        yield Context()
    else:
        with _bar() as bar:
            task = bar.add_task("starting", total=1.0)
            yield Context(
                on_progress=lambda event: bar.update(task, completed=event.fraction, description=_says(event))
            )
            bar.update(task, completed=1.0, description="done")


@contextmanager
def progress_bar() -> Generator[Callable[[float, str], None]]:
    """A progress bar for work elsewhere: call what it gives with the fraction and a text."""
    with _bar() as bar:
        task = bar.add_task("queued", total=1.0)
        yield lambda fraction, says: bar.update(task, completed=fraction, description=Text(says).plain)


class Remark(Protocol):
    """What findings about an input and warnings of a report have in common."""

    @property
    def message(self) -> str:
        """What is the matter."""
        ...

    @property
    def remedy(self) -> str:
        """What to do about it, or nothing."""
        ...

    @property
    def view(self) -> str | None:
        """The view that it is about."""
        ...


def merge_views(remarks: Iterable[Said]) -> list[tuple[Said, str]]:
    """Remarks in their order, each with its text; those that say the same of several views become one."""
    groups: dict[tuple[str, str], list[Said]] = {}
    for remark in remarks:
        groups.setdefault((remark.message.removeprefix(f"View {remark.view}: "), remark.remedy), []).append(remark)
    merged: list[tuple[Said, str]] = []
    for (text, remedy), group in groups.items():
        views = [remark.view for remark in group if remark.view]
        message = f"Views {', '.join(views)}: {text}" if len(views) > 1 else group[0].message
        merged.append((group[0], f"{message} {remedy}".rstrip()))
    return merged


def show_error(error: MeshwrightError, *, as_json: bool) -> None:
    """An expected error: a panel with code, message and suggestion, or the JSON envelope."""
    if as_json:
        emit_json({"event": "error", **error.to_json()})
        return
    body = Text(error.message)
    if error.suggestion:
        body.append(f"\n{error.suggestion}", style="dim")
    title = f"{error.code} ({error.reason})" if error.reason else error.code
    stderr.print(Panel(body, title=title, title_align="left", border_style="red"))


def show_internal_error(error: BaseException, *, as_json: bool) -> None:
    """An unexpected error, without its traceback."""
    wrapped = MeshwrightError(
        f"{type(error).__name__}: {error}",
        suggestion="This is a fault of Meshwright: run again with --debug and report it.",
    )
    show_error(wrapped, as_json=as_json)


class _JsonEvents:
    def __init__(self) -> None:
        self.last = ("", -1.0)

    def __call__(self, event: ProgressEvent) -> None:
        stage, fraction = self.last
        if event.stage == stage and event.fraction - fraction < MIN_STEP:
            return
        self.last = (event.stage, event.fraction)
        emit_json(
            {
                "event": "progress",
                "stage": event.stage,
                "fraction": round(event.fraction, 4),
                "message": event.message,
                "elapsed_s": round(event.elapsed_s, 3),
            }
        )


def _says(event: ProgressEvent) -> str:
    return f"{event.stage}: {event.message}" if event.message else event.stage


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        console=stderr,
        transient=True,
    )
