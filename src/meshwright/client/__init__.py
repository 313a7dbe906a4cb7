"""The client of the HTTP service.

::

    from meshwright.client import Client

    with Client("http://127.0.0.1:8000") as client:
        job = client.submit("shoe/", engine="fusion", options={"faces": 60_000})
        job.wait(on_progress=print).download("out")
"""

from __future__ import annotations

from meshwright.client.aio import AsyncClient
from meshwright.client.aio_job import AsyncRemoteJob
from meshwright.client.client import Client
from meshwright.client.job import RemoteJob
from meshwright.client.models import EngineResult, Fault, JobEvent, JobInfo, JobProgress
from meshwright.client.retry import Retry

__all__ = [
    "AsyncClient",
    "AsyncRemoteJob",
    "Client",
    "EngineResult",
    "Fault",
    "JobEvent",
    "JobInfo",
    "JobProgress",
    "RemoteJob",
    "Retry",
]
