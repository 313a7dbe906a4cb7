"""A result on its way into storage, and the check that what comes out again is what went in."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

from meshwright.errors import IncompleteResults
from meshwright.package.manifest import MANIFEST_NAME, file_entry, result_files
from meshwright.service.failpoints import failpoint
from meshwright.service.jobs.job import Artifact
from meshwright.service.storage.store import Store

CHECKED_LIMIT = 10_000  # results of checks that one process remembers


def publish(store: Store, folder: Path, prefix: str) -> tuple[Artifact, ...]:
    """Store a result package below ``prefix``, the manifest last; nobody sees it before the database says so.

    Raises:
        DiskFull, StorageUnavailable: the attempt's folder may hold a part of it then; the janitor removes that.
    """
    failpoint("publish.before")
    paths = [*result_files(folder), *([folder / MANIFEST_NAME] if (folder / MANIFEST_NAME).is_file() else [])]
    artifacts: list[Artifact] = []
    for path in paths:
        entry = file_entry(folder, path)
        store.put_file(f"{prefix}/{entry.path}", path)
        artifacts.append(Artifact(path=entry.path, size=entry.size, sha256=entry.sha256))
        failpoint("publish.between_files")
    failpoint("publish.after")
    return tuple(artifacts)


class Checker:
    """Reads each artifact once per process before it is first given out, and compares its hash."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checked: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, prefix: str, artifact: Artifact) -> None:
        """Pass if the stored bytes are those that were published.

        Raises:
            IncompleteResults: reason ``result_corrupt``, or ``result_missing`` when the file is not there.
        """
        key = f"{prefix}/{artifact.path}"
        with self._lock:
            if (key, artifact.sha256) in self._checked:
                return
        if self._hash(key, artifact) != artifact.sha256:
            raise _damaged(artifact, "result_corrupt", "does not match the hash that it was published with")
        with self._lock:
            self._checked[key, artifact.sha256] = None
            while len(self._checked) > CHECKED_LIMIT:
                self._checked.popitem(last=False)

    def _hash(self, key: str, artifact: Artifact) -> str:
        digest = hashlib.sha256()
        try:
            for piece in self._store.open_range(key):
                digest.update(piece)
        except FileNotFoundError as error:
            raise _damaged(artifact, "result_missing", "is not in storage") from error
        return digest.hexdigest()


def _damaged(artifact: Artifact, reason: str, what: str) -> IncompleteResults:
    return IncompleteResults(
        f"{artifact.path} {what}.",
        suggestion="Run the job again with POST /jobs/ID/retry; the operator should check the disk.",
        reason=reason,
        path=artifact.path,
    )
