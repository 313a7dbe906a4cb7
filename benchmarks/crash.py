"""Kill -9 of API, workers, engines and Redis at random while clients submit: what was promised must hold.

    python benchmarks/crash.py [--rounds 200] [--queue embedded|celery] [--database sqlite|postgres] [--seed 0]

One round is one kill of something that is up; what died is started again at once, as a supervisor does, and one worker
is always left. The engine is a double of tests/ that takes up to two seconds; everything else is the product, with its
default lease of 30 s. Clients submit with an idempotency key and try again until they have an answer; some cancel. At
the end, everything is left to come to rest, and the table of jobs, the events and the storage are compared with what
clients were told. Exits with 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import kill
from pathlib import Path

import httpx

from meshwright.service.db.database import Database
from meshwright.service.jobs.job import Job, Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings
from meshwright.service.storage.janitor import sweep_files
from meshwright.service.storage.publish import Checker
from meshwright.service.storage.store import Store, open_store
from service_fleet import Fleet, fakes_left, quantile, small_capture

RECOVERY_S = 15.0  # beyond the lease: a sweep every 5 s, a look at the table, a process started
REST_S = 240.0
WEIGHTS = {"api": 2, "worker": 4, "engine": 4, "redis": 1}


@dataclass
class History:
    """What clients were told, and what was killed when."""

    accepted: dict[str, str] = field(default_factory=dict)  # job id -> the client's key
    cancelled: set[str] = field(default_factory=set)
    kills: Counter[str] = field(default_factory=Counter)
    orphaned: list[tuple[str, int, datetime]] = field(default_factory=list)  # job, attempt, when its worker died
    tries: int = 0


class Client(threading.Thread):
    """Submits, and tries again with the same key until there is an answer; cancels one in ten."""

    def __init__(self, url: str, history: History, stop: threading.Event, seed: int) -> None:
        super().__init__(name=f"client-{seed}", daemon=True)
        self.url, self.history, self.stop = url, history, stop
        self.random = random.Random(seed)
        self.capture = small_capture()

    def run(self) -> None:
        while not self.stop.is_set():
            key = f"key-{self.random.getrandbits(64):x}"
            data = {"model": "fusion", "name": key}
            answer = self.insist("POST", "/jobs", headers={"Idempotency-Key": key}, data=data, files=self.capture)
            if answer is None:
                return
            job_id = answer.json()["job_id"]
            self.history.accepted[job_id] = key
            if self.random.random() < 0.1:
                self.insist("POST", f"/jobs/{job_id}/cancel")
                self.insist("POST", f"/jobs/{job_id}/cancel", json={"confirm": True})
                self.history.cancelled.add(job_id)
            self.stop.wait(self.random.uniform(0.5, 1.5))

    def insist(self, method: str, path: str, **arguments: object) -> httpx.Response | None:
        """The answer, whatever it takes; an error of the client's own making ends the benchmark."""
        while True:
            self.history.tries += 1
            try:
                answer = httpx.request(method, self.url + path, timeout=20, **arguments)  # type: ignore[arg-type]
                if answer.status_code < 500:
                    if answer.status_code >= 400 and not path.endswith("/cancel"):
                        raise SystemExit(f"{path}: {answer.status_code} {answer.text}")
                    return answer
            except httpx.HTTPError:
                pass
            if self.stop.is_set() and self.history.tries > 10**6:
                return None
            time.sleep(0.1)


def strike(fleet: Fleet, repository: JobRepository, history: History, chance: random.Random) -> None:
    """One kill of something that is up; the last worker that is up is spared, for there is to be an elsewhere."""
    kinds = [kind for kind in WEIGHTS if kind != "redis" or fleet.redis is not None]
    (kind,) = chance.choices(kinds, [WEIGHTS[kind] for kind in kinds])
    workers = [name for name in fleet.worker_names if fleet.is_up(name)]
    engines = sorted(fleet.engines())
    if kind == "engine" and engines:
        kill(chance.choice(engines), signal.SIGKILL)
    elif kind == "redis" and fleet.redis is not None:
        fleet.redis.kill()
        fleet.redis.start()
    elif kind == "api" and fleet.is_up("api"):
        fleet.kill("api")
    elif kind == "worker" and len(workers) > 1:
        died = fleet.kill(chance.choice(workers))
        at = datetime.now(UTC)
        running = [job for job in all_jobs(repository) if job.status is Status.PROCESSING]
        mine = [job for job in running if job.lease_owner and job.lease_owner.split("-")[-2] == str(died)]
        history.orphaned += [(job.id, job.attempt, at) for job in mine]
    else:
        return
    history.kills[kind] += 1


def all_jobs(repository: JobRepository) -> list[Job]:
    """Every job there is."""
    jobs: list[Job] = []
    cursor = None
    while True:
        page, cursor = repository.list("local", before=cursor, limit=200)
        jobs += page
        if cursor is None:
            return jobs


def recoveries(repository: JobRepository, history: History) -> list[float]:
    """Seconds from a worker's death to its job running elsewhere; cancelled and given up ones are left out."""
    found = []
    for job_id, attempt, died in history.orphaned:
        for event in repository.events_after(job_id, 0, 10_000):
            data = event.data
            if event.kind == "status" and data["status"] == "processing" and data["attempt"] > attempt:
                found.append((event.at - died).total_seconds())
                break
    return found


def damage(store: Store, job: Job) -> str | None:
    """What is wrong with a job's files in storage."""
    folders = {key.split("/")[2] for key, _ in store.list(f"jobs/{job.id}")} - {"input"}
    if job.status is not Status.COMPLETED:
        return None
    assert job.outcome is not None
    if folders != {f"attempt-{job.attempt}"}:
        return f"{job.id}: published attempt {job.attempt}, in storage {folders}"
    checker = Checker(store)
    for artifact in job.outcome.artifacts:
        checker.check(job.result_prefix, artifact)
    return None


def rest(repository: JobRepository, seconds: float) -> None:
    """Until every job has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        counts = repository.counts()
        if not any(sum(counts.get(state, {}).values()) for state in ("queued", "processing")):
            return
        time.sleep(0.5)


def report(fleet: Fleet, repository: JobRepository, history: History, lease_s: float) -> list[str]:
    """Print the table; returns the promises that are broken."""
    jobs = {job.id: job for job in all_jobs(repository)}
    store = open_store(fleet.environment.get("MESHWRIGHT_STORAGE_URL") or (fleet.folder / "data" / "storage").as_uri())
    sweep_files(repository, store, older_s=0.0)  # what attempts that died have left; the janitor does it every hour
    states = Counter(str(job.status) for job in jobs.values())
    codes = Counter((job.outcome.error or {}).get("code") for job in jobs.values() if job.outcome and job.outcome.error)
    completions = {
        job_id: sum(e.data.get("status") == "completed" for e in repository.events_after(job_id, 0, 10_000))
        for job_id in jobs
    }
    names = Counter(job.name for job in jobs.values())
    broken = {
        "lost": [job_id for job_id in history.accepted if job_id not in jobs],
        "double publishes": [job_id for job_id, count in completions.items() if count > 1],
        "damaged results": [told for job in jobs.values() if (told := damage(store, job))],
        "two jobs of one key": [name for name, count in names.items() if count > 1],
        "not terminal": [job.id for job in jobs.values() if not job.status.is_final],
        "failed otherwise": [code for code in codes if code != "ENGINE_CRASHED"],
    }
    took = recoveries(repository, history)
    kills = ", ".join(f"{kind} {count}" for kind, count in history.kills.items())
    rows = [
        ("kills (rounds)", f"{history.kills.total()} ({kills})"),
        ("accepted", f"{len(history.accepted)} in {history.tries} tries"),
        ("completed / failed / cancelled", " / ".join(str(states[s]) for s in ("completed", "failed", "cancelled"))),
        ("attempts", str(sum(job.attempt for job in jobs.values()))),
        *((name, str(len(found))) for name, found in broken.items()),
        ("recovery p50 / max", f"{quantile(took, 0.5):.1f} s / {max(took, default=0):.1f} s of {len(took)}"),
    ]
    for name, value in rows:
        print(f"{name:>32}  {value}")
    wrong = [f"{name}: {found[:3]}" for name, found in broken.items() if found]
    return wrong + ([f"recovery took {max(took):.1f} s"] if max(took, default=0) > lease_s + RECOVERY_S else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--queue", choices=("embedded", "celery"), default="embedded")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--lease", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    history, stop, chance = History(), threading.Event(), random.Random(asked.seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mw-crash-") as folder:
        settings = {"lease_s": asked.lease, "heartbeat_s": asked.lease / 3}
        with Fleet(Path(folder), asked.queue, database=asked.database, settings=settings) as fleet:
            url = fleet.environment.get("MESHWRIGHT_DATABASE_URL") or f"sqlite:///{folder}/data/meshwright.db"
            database = Database(url)
            repository = JobRepository(database, Settings())
            clients = [Client(fleet.url, history, stop, asked.seed + n) for n in range(asked.clients)]
            for client in clients:
                client.start()
            while history.kills.total() < asked.rounds:
                time.sleep(chance.uniform(0.3, 1.5))
                strike(fleet, repository, history, chance)
            stop.set()
            for client in clients:
                client.join(60)
            rest(repository, REST_S)
            print(f"queue {asked.queue}, {asked.database}, lease {asked.lease:g} s, {time.monotonic() - began:.0f} s")
            wrong = report(fleet, repository, history, asked.lease)
            database.close()
        left = fakes_left()
        print(f"{'engines left behind':>32}  {len(left)}")
    if wrong or left:
        raise SystemExit("broken: " + "; ".join([*wrong, *map(str, left)]))


if __name__ == "__main__":
    main()
