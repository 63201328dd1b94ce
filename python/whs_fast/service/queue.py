"""The service's queue on disk: a folder a job, each change one rename, so the process may die at any moment.

    jobs/ID/job.json    whose it is, what was asked for, and its state
    jobs/ID/scan/       what was uploaded, under names of ours; goes when the job ends
    jobs/ID/results/    what a run leaves; whole or not at all
    images/ID/          an image that a MONAI Label client has left for later runs
    owners/NAME         hash of an owner's token
    partial/            what is being received, unpacked or removed; emptied on start

IDs are random. The files hold the patient's data, so only the user who runs the service may read the folder. A job
ends once: its last state is written under a lock and never changes. Files are not flushed to disk one by one: this
protects against the end of the process, not against power loss.
"""

import json
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from whs_fast.outputs import MEASUREMENTS
from whs_fast.queue_folder import hold_folder, remove

ENDED = ("done", "failed", "cancelled")
MOST_ATTEMPTS = 5
_FOLDERS = ("jobs", "images", "owners", "partial")


class RefusedError(Exception):
    """What was asked for cannot be had; status is HTTP's, the text one line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class CancelledError(Exception):
    """The job was cancelled while it ran."""


@dataclass(frozen=True)
class Request:
    """What a run is asked for; source is a path on this machine, None where the scan was uploaded."""

    formats: tuple[str, ...] = ("nifti",)
    report: str = "plain"
    series: str | None = None
    phase: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Job:
    """One job; state is queued, running, done, failed or cancelled, times are seconds since 1970."""

    id: str
    owner: str
    created: float
    request: Request
    state: str = "queued"
    attempts: int = 0
    ended: float | None = None
    reason: str | None = None
    step: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Limits:
    """Bytes of one upload and of the whole folder, and how many jobs may wait or run."""

    upload: int
    disk: int
    jobs: int


class Queue:
    """The jobs of one service, which holds a lock on their folder. Safe to use from several threads.

    Raises OutputError where the folder cannot be made, InputError where another service uses it.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root.absolute(), limits
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._sizes: dict[Path, int] = {}
        self._running: str | None = None
        self._held = hold_folder(self.root, _FOLDERS, user="service")
        for folder in (self.root / "images").iterdir():
            self.weigh(folder)
        for folder in (self.root / "jobs").iterdir():
            self._take_up(folder)

    @property
    def partial(self) -> Path:
        """Where to write what is not complete yet."""
        return self.root / "partial"

    def close(self) -> None:
        """Lets another process use the folder."""
        self._held.close()

    def folder(self, job: Job) -> Path:
        """Where a job's files are."""
        return self.root / "jobs" / job.id

    @contextmanager
    def receiving(self) -> Iterator[Path]:
        """Gives a folder to receive into, which counts as a job until the block ends and goes if it is still there.

        Raises RefusedError where there are as many jobs as there may be.
        """
        folder = self.partial / secrets.token_hex(8)
        with self._lock:
            receiving = sum(path.parent == self.partial for path in self._sizes)
            if receiving + sum(job.state not in ENDED for job in self._jobs.values()) >= self.limits.jobs:
                raise RefusedError(429, f"{self.limits.jobs} jobs are waiting, which is the limit: try again later")
            self._sizes[folder] = 0
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            remove(folder)
            with self._lock:
                self._sizes.pop(folder, None)

    def take(self, folder: Path, count: int) -> None:
        """Counts bytes that are to be written into a folder. Raises RefusedError where there is no room for them."""
        with self._lock:
            if self._sizes[folder] + count > self.limits.upload:
                raise RefusedError(413, f"the upload is larger than the limit of {self.limits.upload} bytes")
            if count > self.room():
                raise RefusedError(507, "the disk of the service is full: remove jobs, or try again later")
            self._sizes[folder] += count

    def room(self) -> int:
        """Bytes that may still be written, by the limit and on the disk."""
        with self._lock:
            return min(self.limits.disk - sum(self._sizes.values()), shutil.disk_usage(self.root).free)

    def weigh(self, folder: Path) -> None:
        """Notes how much a folder holds."""
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        with self._lock:
            self._sizes[folder] = size

    def add(self, owner: str, request: Request, received: Path) -> Job:
        """Queues a job whose uploaded files, if any, lie in received/scan."""
        job = Job(secrets.token_hex(8), owner, time.time(), request)
        _write(received, job)
        with self._lock:
            received.rename(self.folder(job))
            self._sizes[self.folder(job)] = self._sizes.pop(received, 0)
            self._jobs[job.id] = job
        return job

    def find(self, owner: str, identifier: str) -> Job:
        """An owner's job. Raises RefusedError where there is none, also where it is somebody else's."""
        with self._lock:
            job = self._jobs.get(identifier)
        if job is None or job.owner != owner:
            raise RefusedError(404, "there is no such job")
        return job

    def jobs(self, owner: str) -> list[Job]:
        """An owner's jobs, the latest first."""
        with self._lock:
            found = [job for job in self._jobs.values() if job.owner == owner]
        return sorted(found, key=lambda job: job.created, reverse=True)

    def before(self, job: Job) -> int:
        """How many jobs will run before one that waits."""
        with self._lock:
            return sum(
                other.state == "running" or (other.state == "queued" and other.created < job.created)
                for other in self._jobs.values()
            )

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self._lock:
            states = [job.state for job in self._jobs.values()]
        return {state: states.count(state) for state in ("queued", "running", *ENDED)}

    def begin(self) -> Job | None:
        """The next job to run, or None."""
        with self._lock:
            waiting = [job for job in self._jobs.values() if job.state == "queued"]
            if not waiting:
                return None
            job = min(waiting, key=lambda job: job.created)
            if job.attempts >= MOST_ATTEMPTS:
                self.end(job, "failed", f"the service died {MOST_ATTEMPTS} times while this job ran")
                return self.begin()
            self._running = job.id
            return self._change(job, state="running", attempts=job.attempts + 1)

    def report(self, job: Job, step: str, share: float) -> None:
        """Notes how far a job is. Raises CancelledError where it was cancelled."""
        with self._lock:
            current = self._jobs[job.id]
            if current.state != "running":
                raise CancelledError
            self._jobs[job.id] = replace(current, step=step, share=share)

    def put_back(self, job: Job) -> None:
        """Leaves a running job for the next start, as if it had never been started."""
        with self._lock:
            self._running = None
            current = self._jobs[job.id]
            if current.state == "running":
                self._change(current, state="queued", attempts=current.attempts - 1, step="", share=0.0)

    def end(self, job: Job, state: str, reason: str | None = None) -> None:
        """Ends the job that runs, unless it was cancelled meanwhile."""
        with self._lock:
            current = self._jobs[job.id]
            self._running = None
            self._clear(current if current.state in ENDED else self._finish(current, state, reason))

    def cancel(self, owner: str, identifier: str) -> Job:
        """Cancels a job that waits or runs; one that has ended stays as it is."""
        with self._lock:
            job = self.find(owner, identifier)
            if job.state not in ENDED:
                job = self._finish(job, "cancelled")
                if self._running != job.id:  # else whoever runs it ends it
                    self._clear(job)
        return job

    def remove(self, owner: str, identifier: str) -> None:
        """Removes a job that has ended, with its results. Raises RefusedError where it has not."""
        with self._lock:
            job = self.find(owner, identifier)
            if job.state not in ENDED or self._running == job.id:
                raise RefusedError(409, "the job has not ended: cancel it first, or try again in a moment")
            del self._jobs[job.id]
            self.discard(self.folder(job))

    def discard(self, folder: Path) -> None:
        """Removes a folder, if it is there; what is half removed never looks whole."""
        gone = self.partial / secrets.token_hex(8)
        with suppress(FileNotFoundError):
            folder.rename(gone)
        with self._lock:
            self._sizes.pop(folder, None)
        remove(gone)

    def sweep(self, before: float) -> int:
        """Removes jobs that ended, and images that were last used, before a time; returns how many."""
        with self._lock:
            old = [job for job in self._jobs.values() if job.ended is not None and job.ended < before]
        for job in old:
            with suppress(RefusedError):  # removed by its owner meanwhile
                self.remove(job.owner, job.id)
        images = [folder for folder in (self.root / "images").iterdir() if folder.stat().st_mtime < before]
        for folder in images:
            self.discard(folder)
        return len(old) + len(images)

    def _take_up(self, folder: Path) -> None:
        """Goes on with a job where an earlier process has left it."""
        text = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        asked = text.pop("request")
        request = Request(**asked | {"formats": tuple(asked["formats"])})
        job = self._jobs[folder.name] = Job(request=request, **text)
        if job.state == "running":
            if (folder / "results" / MEASUREMENTS).exists():
                job = self._finish(job, "done")
            else:
                job = self._change(job, state="queued")
        if job.state in ENDED:
            self._clear(job)
        self.weigh(folder)

    def _finish(self, job: Job, state: str, reason: str | None = None) -> Job:
        # The path of the scan may name the patient, and nobody needs it any more.
        request = replace(job.request, source=None)
        return self._change(job, state=state, reason=reason, ended=time.time(), request=request)

    def _change(self, job: Job, **changes: Any) -> Job:
        changed = replace(job, **changes)
        _write(self.folder(job), changed)
        self._jobs[job.id] = changed
        return changed

    def _clear(self, job: Job) -> None:
        """Removes what a job that has ended no longer needs."""
        folder = self.folder(job)
        self.discard(folder / "scan")
        if job.state != "done":
            self.discard(folder / "results")
        self.weigh(folder)


def _write(folder: Path, job: Job) -> None:
    content = {name: value for name, value in asdict(job).items() if name not in ("step", "share")}
    new = folder / "job.json.new"
    new.write_text(json.dumps(content), encoding="utf-8")
    new.replace(folder / "job.json")
