"""An engine's process that takes some time and leaves a small package: a double for benchmarks of the service.

The time comes from the job's id, up to ``--seconds``: an environment variable would not reach an engine's process.
"""

from __future__ import annotations

import hashlib
import sys
import time

from scripted import leave_package

from meshwright.progress import Context
from meshwright.service.worker import child
from meshwright.service.worker.link import Link
from meshwright.service.worker.protocol import Done, Request


def make_work(longest_s: float) -> child.Work:
    def work(request: Request, context: Context, link: Link) -> Done:
        share = int.from_bytes(hashlib.sha256(request.job_id.encode()).digest()[:4], "big") / 2**32
        began, seconds = time.monotonic(), longest_s * (0.1 + 0.9 * share)
        with context.stage("fuse", 0.0, 0.9):
            while longest_s and (passed := time.monotonic() - began) < seconds:
                context.report(passed / seconds)
                time.sleep(0.02)
        leave_package(request)
        return Done({"fusion": {"status": "completed"}}, "normal", "fusion: a double")

    return work


if __name__ == "__main__":
    own = next((word for word in sys.argv[1:] if word.startswith("--seconds=")), "--seconds=2")
    child.main([word for word in sys.argv[1:] if word != own], work=make_work(float(own.partition("=")[2])))
