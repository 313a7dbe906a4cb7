"""``meshwright jobs``: the jobs of a service, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from meshwright.cli.extras import extra
from meshwright.cli.output import emit_json, progress_bar, stdout, verdict_text
from meshwright.errors import InputError

if TYPE_CHECKING:
    from meshwright.client import Client, JobInfo, JobProgress, RemoteJob

jobs = typer.Typer(
    name="jobs",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Submit, follow and fetch the jobs of a service.\n\n"
    "The service is --url or MESHWRIGHT_URL; a key is read from MESHWRIGHT_API_KEY or --key-file, never from the "
    "command line, where other users could see it.\n\nExample: `meshwright jobs submit shoe/ -o out`",
)

Url = Annotated[str, typer.Option(envvar="MESHWRIGHT_URL", help="The service.", show_default=True)]
KeyFile = Annotated[Path | None, typer.Option(help="A file that holds the API key.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder, or a file that ends in .zip.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a result that is already in OUT.")]
Options = Annotated[
    list[str] | None, typer.Option("--option", help="An option of the engine as NAME=VALUE, repeatable.")
]
CANCEL_S = 30.0  # within which a cancelled engine is gone, on any machine
LOCAL = "http://127.0.0.1:8000"


@jobs.command()
def submit(
    capture: Annotated[Path, typer.Argument(help="A capture: a folder or a ZIP of views.")],
    engine: Annotated[
        str, typer.Option(help="fusion, nvdiffrec, reconviagen, both, auto, or several with commas.")
    ] = "auto",
    option: Options = None,
    name: Annotated[str | None, typer.Option(help="A name to find it by.")] = None,
    webhook: Annotated[str | None, typer.Option(help="A URL to be told at the end of the job.")] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Take a finished result of the same input and options.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Wait, and download the result to here.")] = None,
    overwrite: Overwrite = False,
    url: Url = LOCAL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Upload a capture and queue a job; with --out also wait for it and download the result.

    Example: `meshwright jobs submit shoe/ --engine fusion --option faces=60000 -o out`
    """
    with _client(url, key_file) as client:
        job = client.submit(
            capture, engine=engine, options=_options(option), name=name, webhook_url=webhook, cache=cache
        )
        if not as_json and not (wait or out):
            typer.echo(job.id)
            return
        if wait or out:
            _follow(job, as_json)
        if out:
            job.download(out, overwrite=overwrite)
        _show(job.info, as_json, saved=out)


@jobs.command("list")
def list_jobs(
    status: Annotated[list[str] | None, typer.Option(help="Only jobs in this state, repeatable.")] = None,
    engine: Annotated[str | None, typer.Option(help="Only jobs of this engine.")] = None,
    verdict: Annotated[str | None, typer.Option(help="Only results of this verdict.")] = None,
    name: Annotated[str | None, typer.Option(help="Only jobs of this name.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    url: Url = LOCAL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first.

    Example: `meshwright jobs list --status failed --json`
    """
    with _client(url, key_file) as client:
        pages = client.jobs(status=status or (), engine=engine, verdict=verdict, name=name, page=min(limit, 100))
        found = [job.info for job, _ in zip(pages, range(limit), strict=False)]
    if as_json:
        for info in found:
            emit_json(info.model_dump(mode="json"))
        return
    table = Table(Column("id", no_wrap=True), "name", "engine", "status", "%", "verdict", "made")
    for info in found:
        made = f"{info.created_at:%Y-%m-%d %H:%M}" if info.created_at else ""
        percent = "" if info.progress is None else str(info.progress)
        table.add_row(
            info.id, Text(info.name or ""), info.engine, info.status, percent, verdict_text(info.verdict), made
        )
    stdout.print(table)


@jobs.command()
def show(job_id: JobId, url: Url = LOCAL, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Show where a job stands, or how it ended.

    Example: `meshwright jobs show Xo3kQ5 --json`
    """
    with _client(url, key_file) as client:
        _show(client.job(job_id).info, as_json)


@jobs.command()
def watch(job_id: JobId, url: Url = LOCAL, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Follow a job to its end; exits as `reconstruct` would have.

    Example: `meshwright jobs watch Xo3kQ5`
    """
    with _client(url, key_file) as client:
        job = client.job(job_id)
        _follow(job, as_json)
        _show(job.info, as_json)


@jobs.command()
def download(
    job_id: JobId,
    out: Out,
    overwrite: Overwrite = False,
    url: Url = LOCAL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Download the result of a job: unpacked into a folder, or as a ZIP.

    Example: `meshwright jobs download Xo3kQ5 -o out`
    """
    with _client(url, key_file) as client:
        job = client.job(job_id)
        job.download(out, overwrite=overwrite)
        _show(job.info, as_json, saved=out)


@jobs.command()
def cancel(job_id: JobId, url: Url = LOCAL, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Stop a job, for good (the request and its confirmation in one).

    Example: `meshwright jobs cancel Xo3kQ5`
    """
    with _client(url, key_file) as client:
        job = client.job(job_id)
        job.cancel()
        _show(job.wait(timeout_s=CANCEL_S, check=False).info, as_json)


@jobs.command()
def retry(
    job_id: JobId, option: Options = None, url: Url = LOCAL, key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Run a job that has ended again, on the input it had.

    Example: `meshwright jobs retry Xo3kQ5 --option resolution=192`
    """
    with _client(url, key_file) as client:
        _show(client.job(job_id).retry(_options(option) or None).info, as_json)


@jobs.command()
def delete(job_id: JobId, url: Url = LOCAL, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Delete the files of a job.

    Example: `meshwright jobs delete Xo3kQ5`
    """
    with _client(url, key_file) as client:
        client.job(job_id).delete()
    if as_json:
        emit_json({"id": job_id, "deleted": True})
    else:
        stdout.print(f"The files of {job_id} are deleted.")


@contextmanager
def _client(url: str, key_file: Path | None) -> Generator[Client]:
    with extra("client"):
        from meshwright.client import Client

    key = key_file.read_text().strip() if key_file else None
    with Client(url, key) as client:
        yield client


def _options(words: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE words; a value that reads as JSON is that, any other is text."""
    import json

    found: dict[str, Any] = {}
    for word in words or []:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise InputError(
                "--option takes NAME=VALUE.", suggestion="Write e.g. --option faces=60000.", reason="bad_option"
            )
        try:
            found[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            found[name.replace("-", "_")] = value
    return found


def _follow(job: RemoteJob, as_json: bool) -> None:
    if as_json:
        job.wait(lambda progress: emit_json({"event": "progress", **progress.model_dump(mode="json")}))
        return
    with progress_bar() as move:
        job.wait(_mover(move))


def _mover(move: Callable[[float, str], None]) -> Callable[[JobProgress], None]:
    def on_progress(progress: JobProgress) -> None:
        waits = f"queued, {progress.queue_position} in line" if progress.queue_position else progress.status
        says = ": ".join(word for word in (progress.stage, progress.message) if word)
        move(progress.fraction, says if progress.status == "processing" and says else waits)

    return on_progress


def _show(info: JobInfo, as_json: bool, saved: Path | None = None) -> None:
    if as_json:
        out = {"out": str(saved)} if saved else {}
        emit_json({"event": "job", **info.model_dump(mode="json"), **out})
        return
    line = Text(f"{info.id}  {info.status}")
    if info.verdict:
        line.append("  ").append_text(verdict_text(info.verdict))
    if info.error:
        line.append(f"  {info.error.code}: {info.error.message} {info.error.suggestion}")
    elif info.status == "processing":
        line.append(f"  {info.progress or 0} %  {info.stage or ''}")
    elif info.queue_position:
        line.append(f"  {info.queue_position} in line")
    if saved:
        line.append(f"  {saved}")
    stdout.print(line, soft_wrap=True)
