"""Prometheus metrics of one API process, and of the queue that all processes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from meshwright.service.db.database import DatabaseUnavailable
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository

SECONDS = (0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """A registry of its own, so that several applications in one process stay apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "meshwright_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "meshwright_http_request_seconds",
            "Time to answer a request.",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._received = Counter("meshwright_upload_bytes", "Bytes of accepted captures.", registry=self.registry)
        self._submitted = Counter("meshwright_jobs_submitted", "Jobs accepted.", ["engine"], registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        known = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)

    def accepted(self, engine: str, size: int) -> None:
        """Count an accepted job."""
        self._submitted.labels(engine).inc()
        self._received.inc(size)

    def watch(self, repository: JobRepository, uploads: Callable[[], int], free: Callable[[], int | None]) -> None:
        """Show the jobs of the database, this process's uploads and the space that is left, at every look."""
        self.registry.register(_Jobs(repository))
        gauge = Gauge("meshwright_uploads_in_progress", "Uploads being received.", registry=self.registry)
        gauge.set_function(uploads)
        space = Gauge(
            "meshwright_storage_free_bytes", "Free space of the storage; -1: no limit.", registry=self.registry
        )
        space.set_function(lambda: -1 if (left := free()) is None else left)

    def text(self) -> bytes:
        """In the text format."""
        return generate_latest(self.registry)


class _Jobs(Collector):
    """Counts from the table, read when they are asked for."""

    def __init__(self, repository: JobRepository) -> None:
        self._repository = repository

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is read when it is registered."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Jobs by status and device, and the ages of those that have waited and run for longest."""
        jobs = GaugeMetricFamily("meshwright_jobs", "Jobs in the table.", labels=["status", "device"])
        oldest = GaugeMetricFamily(
            "meshwright_oldest_job_seconds", "Age of the oldest job of a status; 0: none.", labels=["status"]
        )
        try:
            for status, devices in self._repository.counts().items():
                for device in ("cpu", "cuda"):
                    jobs.add_metric([status, device], devices.get(device, 0))
            for status in (Status.QUEUED, Status.PROCESSING):
                oldest.add_metric([str(status)], self._repository.oldest_s(status) or 0.0)
        except DatabaseUnavailable:
            return
        yield jobs
        yield oldest
