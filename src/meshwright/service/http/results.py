"""Which jobs have a result to give, and what those answer that have none."""

from __future__ import annotations

from fastapi import Request, Response

from meshwright.errors import Cancelled, JobExpired, JobNotFound, JobNotReady, MeshwrightError
from meshwright.service.http.errors import problem, problem_response
from meshwright.service.jobs.job import Artifact, Job, Status

CONFLICT = 409
UNKNOWN = {"code": "UNKNOWN_ERROR", "message": "The job failed.", "details": {}, "suggestion": "Run it again."}


def refusal(request: Request, job: Job) -> Response | None:
    """The answer of a job that has no result to give; None where there is one."""
    error = _why_not(job)
    if error is not None:
        return problem(request, error)
    if job.status is Status.FAILED:
        told = (job.outcome.error if job.outcome else None) or UNKNOWN
        return problem_response({**UNKNOWN, **told}, CONFLICT, request.scope)
    return None


def find_artifact(job: Job, path: str) -> Artifact:
    """A file of a completed job's result, by its exact path.

    Raises:
        JobNotFound: reason ``artifact_unknown``.
    """
    artifacts = job.outcome.artifacts if job.outcome else ()
    found = next((artifact for artifact in artifacts if artifact.path == path), None)
    if found is None:
        raise JobNotFound(
            "The result has no such file.",
            suggestion=f"See GET /jobs/{job.id}/artifacts for its files.",
            reason="artifact_unknown",
            job_id=job.id,
        )
    return found


def _why_not(job: Job) -> MeshwrightError | None:
    if job.is_gone:
        return JobExpired(
            "The job's files are not there any more.",
            suggestion="Submit the capture again.",
            reason="deleted" if job.deleted_at is not None else "expired",
            job_id=job.id,
        )
    if job.status is Status.CANCELLED:
        return Cancelled(
            "The job was cancelled; it has no result.",
            suggestion="Run it again with POST /jobs/ID/retry.",
            job_id=job.id,
        )
    if not job.status.is_final:
        return JobNotReady(
            f"The job is {job.status}; it has no result yet.",
            suggestion="Ask again when its status is completed.",
            reason="not_finished",
            job_id=job.id,
            status=str(job.status),
            progress=job.progress,
        )
    return None
