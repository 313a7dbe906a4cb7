"""T-20 at the API: whichever write of an upload fails, it is refused whole and the next one works."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.http.live import Live, png, reason_of, six

CALLS = [(os, "fsync"), (shutil, "copyfile"), (Path, "mkdir"), (Path, "rename"), (Path, "replace")]
CODES = [errno.ENOSPC, errno.EDQUOT, errno.EIO]


class Fault:
    """Makes the n-th of the calls that write, below the server's folder, fail."""

    def __init__(self, server: Live, monkeypatch: pytest.MonkeyPatch, nth: int, code: int) -> None:
        self.left, self.code = nth, code
        self.folder = str(server.settings.data_dir.absolute())
        for owner, name in CALLS:
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            where = arguments[-1] if call is shutil.copyfile else arguments[0]
            if isinstance(where, int) or str(where).startswith(self.folder):
                self.left -= 1
                if self.left == 0:
                    raise OSError(self.code, os.strerror(self.code))
            return call(*arguments, **options)

        return wrapper


def nothing_left(server: Live, before: list[str]) -> None:
    server.settle()
    assert server.stored() == before
    assert not [path for path in server.settings.data_dir.rglob(".part-*")]


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_whichever_write_fails_the_upload_is_refused_whole(server: Live, code: int) -> None:
    for nth in range(1, 100):
        before = server.stored()
        with pytest.MonkeyPatch.context() as patched:
            fault = Fault(server, patched, nth, code)
            answer = server.submit(six(("front", "back"), depth=False))
        if fault.left > 0:
            break
        if answer.status_code != 202:  # a folder that could not be tidied up is no reason to refuse
            assert answer.status_code == (507 if code != errno.EIO else 503), (nth, answer.text)
            reason_of(answer)
            nothing_left(server, before)
    assert answer.status_code == 202
    assert nth > 8


@pytest.mark.parametrize("size", [64, 900])
def test_a_staging_disk_that_is_full_is_507_and_recovers(
    server: Live, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts are written to /dev/full: the kernel's own refusal, at the write or not before the file is closed."""
    before, really_open = server.stored(), Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        target = Path("/dev/full") if path.name.startswith("part-") and "w" in mode else path
        return really_open(target, mode, *rest, **options)

    noise = png(size) + os.urandom(size * size)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        answer = server.submit([("views", ("a.png", noise))])
    assert (answer.status_code, reason_of(answer)) == (507, "upload")
    assert int(answer.headers["retry-after"]) >= 1
    nothing_left(server, before)
    assert server.submit().status_code == 202
