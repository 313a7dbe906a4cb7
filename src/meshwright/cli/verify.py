"""``meshwright verify``: is a result whole, unchanged, readable, and as good as it says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from meshwright.cli.output import emit_json, stdout
from meshwright.errors import IncompleteResults

if TYPE_CHECKING:
    from meshwright.package.verify import VerifyReport

MARKS = {"ok": ("ok", "green"), "failed": ("FAILED", "bold red"), "skipped": ("skipped", "yellow")}


def verify(
    result: Annotated[Path, typer.Argument(help="A result: the folder or the ZIP.")],
    rerender: Annotated[
        bool, typer.Option("--rerender/--no-rerender", help="Render the mesh again and compare PSNR and SSIM.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")] = False,
) -> None:
    """Check a result: every hash, every file opened again by an independent reader, the metrics rendered again.

    Exits with 0 when all holds and 6 (INCOMPLETE_RESULTS) when anything does not.

    Examples: `meshwright verify out`, `meshwright verify results.zip --json`
    """
    from meshwright.package.verify import verify
    from meshwright.quality.recheck import rescore_result

    report = verify(result, rescore=rescore_result if rerender else None, check_quality=_check_quality)
    if as_json:
        emit_json({"event": "verify", **report.model_dump(mode="json")})
    elif not quiet:
        _show(report)
    if not report.ok:
        first = report.failures[0]
        if as_json:
            raise typer.Exit(6)
        raise IncompleteResults(
            f"{result} failed {len(report.failures)} of {len(report.checks)} checks: {first.message}",
            suggestion="Download or copy the result again, or run the reconstruction again.",
            reason="verify_failed",
        )


def _check_quality(content: Any) -> None:
    from meshwright.quality.report import QualityReport

    QualityReport.model_validate(content)


def _show(report: VerifyReport) -> None:
    for check in report.checks:
        word, style = MARKS[check.status]
        line = Text(f"{word:>8}", style=style).append(f"  {check.name:<9}", style="default")
        told = check.message if check.message.startswith(check.file) else f"{check.file} {check.message}"
        stdout.print(line.append(told, style="default"), soft_wrap=True)
