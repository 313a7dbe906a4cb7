"""From a received upload to an accepted job. Once this has returned, the job is not lost."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace

from meshwright.errors import GpuUnavailable, IdempotencyConflict, InputError, MeshwrightError, RateLimited
from meshwright.service.auth.quota import check_storage
from meshwright.service.failpoints import failpoint
from meshwright.service.jobs.job import Job, NewJob, new_job_id
from meshwright.service.parts import Service
from meshwright.service.uploads.fields import Submission
from meshwright.service.uploads.intake import StagedInput, store_input
from meshwright.service.uploads.receive import check_space
from meshwright.service.webhooks.guard import check_target

KEY_LENGTH = 255


@dataclass(frozen=True)
class Accepted:
    """The job, and whether it is an earlier one of the same bytes and options."""

    job: Job
    cached: bool = False


def checked_key(text: str | None, spare: int = 0) -> str | None:
    """The header ``Idempotency-Key``, if it can be one; ``spare`` characters are left for what is put behind it.

    Raises:
        InputError: reason ``idempotency_key``.
    """
    longest = KEY_LENGTH - spare
    if text is not None and not (0 < len(text) <= longest and text.isascii() and text.isprintable()):
        raise InputError(
            f"The Idempotency-Key is not 1 to {longest} printable ASCII characters.",
            suggestion="Use a UUID.",
            reason="idempotency_key",
        )
    return text


async def check_webhook(service: Service, submission: Submission) -> None:
    """Refuse a webhook that would not be called; raises as `check_target`."""
    if submission.webhook_url is not None:
        await check_target(submission.webhook_url, allow_private=service.settings.webhook_private)


def accept(service: Service, tenant: str, submission: Submission, staged: StagedInput, key: str | None) -> Accepted:
    """Store the input, make the job and ring the bell; runs in a thread.

    Raises:
        IdempotencyConflict, RateLimited, DiskFull: nothing was accepted, and nothing is left.
    """
    repository, body_hash = service.repository, _body_hash(submission, staged)
    known = repository.find_idempotent(tenant, key) if key is not None else None
    if known is not None and known[1] == body_hash:
        return _with_position(service, repository.get(known[0], tenant))
    if submission.cache and known is None:
        found = repository.find_cached(tenant, staged.sha256, submission.engine, submission.options)
        if found is not None:
            return Accepted(found, cached=True)
    if service.settings.storage_quota_bytes:
        check_storage(service.settings, repository.stored_bytes(tenant), staged.size)
    check_space(service.store.free_bytes(), service.settings, staged.size)
    new = _new_job(tenant, submission, staged, device_for(service, submission))
    job = _make(service, new, staged, key, body_hash)
    service.queue.announce(job)
    service.metrics.accepted(job.engine, staged.size)
    failpoint("submit.before_answer")
    return _with_position(service, job)


def device_for(service: Service, submission: Submission) -> str:
    """The class of worker that a job waits for.

    Raises:
        GpuUnavailable: reason ``no_gpu_workers``: a GPU is asked for, and nobody would ever take the job.
    """
    wish = service.settings.gpu_jobs
    has_gpu = wish == "on" or (wish == "auto" and bool(service.gpus.gpus()))
    if submission.device == "cuda" and not has_gpu:
        raise GpuUnavailable(
            "No worker with a GPU is known here.",
            suggestion="Leave device out; or the operator sets MESHWRIGHT_GPU_JOBS=on where such workers run.",
            reason="no_gpu_workers",
        )
    if submission.device != "auto":
        return submission.device
    is_for_cpu = submission.engine == "fusion" or submission.options.get("device") == "cpu"
    return "cuda" if has_gpu and not is_for_cpu else "cpu"


def _make(service: Service, new: NewJob, staged: StagedInput, key: str | None, body_hash: str) -> Job:
    store_input(service.store, new.id, staged)
    try:
        job, is_new = service.repository.submit(new, idempotency_key=key, body_hash=body_hash)
    except (RateLimited, IdempotencyConflict):  # after other errors there may be a row; else the janitor removes it
        service.store.delete_prefix(f"jobs/{new.id}")
        raise
    if not is_new:
        with suppress(MeshwrightError):
            service.store.delete_prefix(f"jobs/{new.id}")
    return job


def _with_position(service: Service, job: Job) -> Accepted:
    return Accepted(replace(job, queue_position=service.repository.position(job.id)))


def _new_job(tenant: str, submission: Submission, staged: StagedInput, device: str) -> NewJob:
    return NewJob(
        id=new_job_id(),
        tenant=tenant,
        engine=submission.engine,
        options=submission.options,
        input_hash=staged.sha256,
        input_bytes=staged.size,
        name=submission.name,
        webhook_url=submission.webhook_url,
        deadline_s=submission.deadline_s,
        retention_s=submission.retention_s,
        device=device,
    )


def _body_hash(submission: Submission, staged: StagedInput) -> str:
    """Equal for requests that ask for the same, whatever the order of their parts."""
    told = json.dumps([submission.model_dump(mode="json"), staged.sha256], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
