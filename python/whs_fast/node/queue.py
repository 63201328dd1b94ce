"""The node's queue: folders on disk. Series move between them by renaming, so the process may die at any moment.

    incoming/SERIES/    instances of a series that is still being received
    ready/JOB/          a complete series that waits for its run, or is being run
    outgoing/JOB/       results that wait to be sent; each file goes as soon as it is stored at the destination
    failed/JOB/         a series that cannot be segmented, with the reason in failed/JOB.txt
    attempts/JOB        how often a run of the job was started
    partial/            what is being written or removed; emptied on start

SERIES is a hash of the Series Instance UID, and JOB is that hash with some random digits: the names say nothing about
the patient. The files do, so only the user who runs the node may read the folder. Every rename stays on one disk and is
atomic. Files are not flushed to disk one by one: this protects against the end of the process, not against power loss.
"""

import hashlib
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path

from whs_fast.queue_folder import hold_folder, remove

_FOLDERS = ("incoming", "ready", "outgoing", "failed", "attempts", "partial")


class Queue:
    """The folders of one node, which holds a lock on them. Safe to use from several threads.

    Raises OutputError where the folder cannot be made, InputError where another node uses it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._running: str | None = None
        self._held = hold_folder(root, _FOLDERS, user="node")
        for job in _names(root / "ready"):
            # The node died after the results were in place and before the series was removed.
            if (root / "outgoing" / job).exists():
                self._discard(job)

    @property
    def partial(self) -> Path:
        """Where to write what is not complete yet."""
        return self._root / "partial"

    def close(self) -> None:
        """Lets another process use the folders."""
        self._held.close()

    def add(self, file: Path, series_uid: str, instance_uid: str) -> str:
        """Moves a received file, which lies in `partial`, to its series, and returns the series' name."""
        series = _hashed(series_uid)
        with self._lock:
            folder = self._root / "incoming" / series
            folder.mkdir(mode=0o700, exist_ok=True)
            file.replace(folder / f"{_hashed(instance_uid)}.dcm")
        return series

    def drop_broken_off(self, seconds: float) -> None:
        """Removes instances that nothing was written to for so long: their association broke off in the middle."""
        for path in self.partial.glob("*.dcm"):
            with suppress(FileNotFoundError):  # it was complete a moment ago
                if time.time() - path.stat().st_mtime > seconds:
                    path.unlink()

    def incoming(self) -> list[str]:
        """The series that are being received."""
        return _names(self._root / "incoming")

    def promote(self, series: str) -> str | None:
        """Turns a complete series into a job and returns its name, or None if it is one already.

        Instances that arrived earlier, and have failed or still wait for their run, join the same job.
        """
        with self._lock:
            folder = self._root / "incoming" / series
            if not folder.exists():
                return None
            for place in ("failed", "ready"):
                for job in _names(self._root / place):
                    earlier = self._root / place / job
                    if not job.startswith(f"{series}-") or not earlier.is_dir() or job == self._running:
                        continue
                    for file in earlier.iterdir():
                        if not (folder / file.name).exists():
                            file.rename(folder / file.name)
                    self._discard(job, place)
            job = f"{series}-{secrets.token_hex(3)}"
            folder.rename(self._root / "ready" / job)
        return job

    def begin(self) -> tuple[str, Path, int] | None:
        """The next job to run, the folder of its series, and how often it was started, this time included."""
        with self._lock:
            folders = [self._root / "ready" / name for name in _names(self._root / "ready")]
            # A job that has results is only still here because a disk error kept it from being removed.
            folders = [folder for folder in folders if not (self._root / "outgoing" / folder.name).exists()]
            if not folders:
                return None
            folder = min(folders, key=lambda folder: folder.stat().st_mtime_ns)
            count = self._root / "attempts" / folder.name
            attempt = int(count.read_text() or 0) + 1 if count.exists() else 1
            count.write_text(str(attempt))
            self._running = folder.name
        return folder.name, folder, attempt

    def put_back(self, job: str) -> None:
        """Leaves a job for the next start, as if it had never been started."""
        (self._root / "attempts" / job).unlink(missing_ok=True)
        self._running = None

    def finish(self, job: str, results: Path) -> None:
        """Queues a folder of results, which lies in `partial`, for sending, and removes the series."""
        results.rename(self._root / "outgoing" / job)
        self._discard(job)
        self._running = None

    def fail(self, job: str, reason: str) -> None:
        """Sets a series aside, with the reason in one line."""
        with self._lock:
            (self._root / "failed" / f"{job}.txt").write_text(reason + "\n", encoding="utf-8")
            (self._root / "ready" / job).rename(self._root / "failed" / job)
            (self._root / "attempts" / job).unlink(missing_ok=True)
            self._running = None

    def outgoing(self) -> list[Path]:
        """The folders of results to send, oldest first; without those whose series is still to be removed."""
        names = [name for name in _names(self._root / "outgoing") if not (self._root / "ready" / name).exists()]
        folders = [self._root / "outgoing" / name for name in names]
        return sorted(folders, key=lambda folder: folder.stat().st_mtime_ns)

    def counts(self) -> dict[str, int]:
        """How many series are in each state."""
        states = {name: _names(self._root / name) for name in ("incoming", "ready", "outgoing")}
        failed = [name for name in _names(self._root / "failed") if not name.endswith(".txt")]
        return {name: len(found) for name, found in states.items()} | {"failed": len(failed)}

    def _discard(self, job: str, place: str = "ready") -> None:
        # Renamed first: a half-removed series must not look like a job.
        gone = self.partial / secrets.token_hex(8)
        (self._root / place / job).rename(gone)
        remove(gone)
        (self._root / "failed" / f"{job}.txt").unlink(missing_ok=True)
        (self._root / "attempts" / job).unlink(missing_ok=True)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _hashed(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:16]
