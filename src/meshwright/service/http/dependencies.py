"""What routes ask for: who calls, which job is meant, and the parts of the service."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Path

from meshwright.errors import JobNotFound
from meshwright.service.auth.principal import Principal, Scope
from meshwright.service.http.access import require
from meshwright.service.http.schemas import JOB_ID
from meshwright.service.parts import Service, service_of

ID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


async def checked_id(
    job_id: Annotated[str, Path(description="The id of a job: 22 characters.", examples=[JOB_ID])],
) -> str:
    """The id, if it has the form of one; anything else names no job, and never reaches the storage.

    Raises:
        JobNotFound: it has not.
    """
    if not ID.fullmatch(job_id):
        suggestion = "Check the job's id; list your jobs with GET /jobs."
        raise JobNotFound("There is no such job.", suggestion=suggestion, job_id=_shown(job_id))
    return job_id


def _shown(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:64])


Parts = Annotated[Service, Depends(service_of)]
JobId = Annotated[str, Depends(checked_id)]
Reader = Annotated[Principal, Depends(require(Scope.READ))]
Submitter = Annotated[Principal, Depends(require(Scope.SUBMIT))]
SubmitterOfOne = Annotated[Principal, Depends(require(Scope.SUBMIT, submission=True))]
Admin = Annotated[Principal, Depends(require(Scope.ADMIN))]
