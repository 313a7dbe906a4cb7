"""``meshwright serve``: the HTTP API and, unless told otherwise, one worker beside it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshwright.cli.extras import extra, load_settings
from meshwright.cli.output import stderr
from meshwright.errors import InputError

if TYPE_CHECKING:
    from meshwright.service.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one. Default: 8000.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the database and the storage.")] = None,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Also start a worker process.")] = True,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Serve without keys on an address beyond this machine.")
    ] = False,
) -> None:
    """Serve the HTTP API; all other settings come from MESHWRIGHT_... variables or `.env`.

    SIGTERM and Ctrl-C drain: open requests are answered, and the running job may finish or goes back to the queue.

    Examples: `meshwright serve`, `meshwright serve --host 0.0.0.0 --port 80 --no-worker`
    """
    with extra("service"):
        from meshwright.service.server import prepare, run_server

    settings = load_settings(host=host, port=port, data_dir=data, allow_anonymous=allow_anonymous or None)
    prepare(settings)
    sock = _listen(settings)
    try:
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        stderr.print(f"Meshwright serves on http://{name}:{sock.getsockname()[1]}", highlight=False)
        run_server(settings, sock, with_worker=worker)
    finally:
        sock.close()


def _listen(settings: Settings) -> socket.socket:
    """The open socket: an address that is taken is told of before anything is started."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
        sock.listen(512)
    except OSError as error:
        sock.close()
        raise InputError(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}.",
            suggestion="Choose another --port, or stop what uses this one.",
            reason="address_taken",
        ) from error
    return sock
