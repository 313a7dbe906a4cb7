"""``meshwright worker``: a process that takes jobs from the table and runs them."""

from __future__ import annotations

import signal
import threading
from enum import StrEnum
from typing import Annotated

import typer

from meshwright.cli.extras import extra, load_settings


class Device(StrEnum):
    """The classes of machine that a job may need."""

    CPU = "cpu"
    CUDA = "cuda"


def worker(
    device: Annotated[
        list[Device] | None, typer.Option(help="The class of jobs to take, repeatable. Default: cpu.")
    ] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Take only jobs of this engine, repeatable.")] = None,
    seats: Annotated[int, typer.Option(min=1, max=64, help="Jobs that run at once, each in its own process.")] = 1,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that a running job has to finish when the worker is stopped.")
    ] = 25.0,
) -> None:
    """Run jobs that `meshwright serve` has accepted; settings come from MESHWRIGHT_... variables or `.env`.

    SIGTERM drains: no new job, the running one may finish within the grace, else it goes back to the queue.

    Examples: `meshwright worker`, `meshwright worker --device cuda --grace 120`
    """
    with extra("service"):
        from meshwright.service.worker.start import start_worker

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    devices = [each.value for each in device or [Device.CPU]]
    settings = load_settings()
    unhealthy = start_worker(settings, stop, devices=devices, engines=engine, seats=seats, grace_s=grace)
    if unhealthy is not None:
        raise typer.Exit(1)
