"""The ``meshwright`` command: its verbs, found and imported only when they are used, and how every verb ends."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from meshwright.cli.exits import INTERNAL, OK, exit_code
from meshwright.cli.output import show_error, show_internal_error, stderr
from meshwright.errors import Cancelled, DiskFull, InputError, MeshwrightError

# Each verb is the function (or group) of that name in the module of that name, in the order of a first day's work.
VERBS = (
    *("sample", "inspect", "reconstruct", "assess", "verify", "bench", "engines", "models"),
    *("serve", "worker", "jobs", "keys"),
)


class VerbGroup(TyperGroup):
    """The verbs as a group of commands, each imported on first use.

    Contexts and commands are typed as Any: whether typer's are click's or its own copy changed between its versions.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """All verbs in their order."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb's command, or None where there is no such verb."""
        return load_verb(cmd_name) if cmd_name in VERBS else None

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; Ctrl-C becomes an error with an exit code of its own, before typer makes it ``Aborted!``."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled(
                "Stopped; nothing half-written was left.", suggestion="Run it again for a result."
            ) from None


def load_verb(name: str) -> Any:
    """Import one verb and make its command; a verb with actions of its own (`jobs list`) is a group already."""
    function = getattr(importlib.import_module(f"meshwright.cli.{name}"), name)
    if isinstance(function, typer.Typer):
        return typer.main.get_command(function)
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    single.command(name)(function)
    return typer.main.get_command(single)


app = typer.Typer(cls=VerbGroup, rich_markup_mode="markdown", no_args_is_help=True)


def _version(value: bool) -> None:
    if value:
        from meshwright import __version__

        typer.echo(f"meshwright {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=False)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback on errors. Works after a verb too.")] = False,
) -> None:
    """A few photos and depth maps of one object in; a measured, textured mesh out.

    Start with `meshwright sample demo`, then `meshwright reconstruct demo -o result`.
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    raise SystemExit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run one command line; returns the exit code, having shown what there is to show."""
    debug, as_json = "--debug" in argv, "--json" in argv
    try:
        typer.main.get_command(app).main([word for word in argv if word != "--debug"], prog_name="meshwright")
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else INTERNAL
    except MeshwrightError as error:
        if debug:
            stderr.print_exception()
        show_error(error, as_json=as_json)
        return exit_code(error)
    except OSError as error:
        if debug:
            raise
        known = from_os_error(error)
        show_error(known, as_json=as_json)
        return exit_code(known)
    except Exception as error:
        if debug:
            raise
        show_internal_error(error, as_json=as_json)
        return INTERNAL
    return OK


def from_os_error(error: OSError) -> MeshwrightError:
    """A file that cannot be read or written, in words; the disk being full is an error of its own."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The disk is full.", suggestion="Free some space, or choose a folder on another disk.")
    where = error.filename or "A file"
    return InputError(
        f"{where} cannot be used: {error.strerror or error}.",
        suggestion="Check the path and its permissions.",
        reason="file_not_usable",
    )


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
