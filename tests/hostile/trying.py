"""Tries spoilt files in a process of its own with bounds on memory and on processor time.

A try is named by its kind and its number, which seed the generator: the same try is the same file everywhere. What may
come of it: the file is read, or refused with InputError (OutputError where there is no space) in one line that names
the file and no patient. All else is a finding: another exception, a crash, output on a stream, more time or memory.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hostile.bases import KINDS, make_base, opened, take
from hostile.mutating import mutate
from support.scans import PATIENT_TAGS
from whs_fast.errors import InputError, OutputError

MOST_BYTES = 2 << 30
MOST_SECONDS = 10
READ, REFUSED = "read", "refused"
Try = tuple[str, int]


@dataclass(frozen=True)
class Outcome:
    """What came of a try: "read", "refused", or a finding in words; its message, CPU seconds and peak memory in MiB."""

    kind: str
    number: int
    what: str
    message: str
    seconds: float
    mebibytes: int = 0

    @property
    def found(self) -> bool:
        return self.what not in (READ, REFUSED)


def nth_tries(count: int, first: int = 0, kinds: Sequence[str] = KINDS) -> list[Try]:
    """So many tries, the kinds in turn."""
    return [(kinds[number % len(kinds)], number // len(kinds)) for number in range(first, first + count)]


def run_tries(tries: Iterable[Try], *, seconds: int = MOST_SECONDS, taking: str = "") -> Iterator[Outcome]:
    """The outcome of each try, in order. taking is Python that replaces `take` in the process, for tests of this."""
    waiting = list(tries)
    while waiting:
        done = 0
        for outcome in _in_a_process(waiting, seconds, taking):
            done += 1
            yield outcome
        waiting = waiting[done:]


def _in_a_process(tries: list[Try], seconds: int, taking: str) -> Iterator[Outcome]:
    """Outcomes until the process ends; of a try that ended it, how."""
    program = f"from hostile import trying\n{taking}\ntrying.serve({seconds})"
    tests = Path(__file__).parent.parent
    path = os.pathsep.join([str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "WHS_FAST_CACHE": "off"}
    with (
        tempfile.TemporaryDirectory() as place,
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment | {"TMPDIR": place},
        ) as process,
    ):
        said = 0
        try:
            for kind, number in tries:
                try:
                    process.stdin.write(json.dumps([kind, number]) + "\n")
                    process.stdin.flush()
                    line = process.stdout.readline()
                except BrokenPipeError:
                    line = ""
                told = errors.seek(0, os.SEEK_END)
                if not line.endswith("\n"):
                    errors.seek(said)
                    last = errors.read().decode(errors="replace")[-500:]
                    yield Outcome(kind, number, f"ended the process ({process.wait()})", last, 0.0)
                    return
                what, message, spent, peak = json.loads(line)
                if told > said:
                    errors.seek(said)
                    what, message, said = "printed", errors.read().decode(errors="replace")[-500:], told
                yield Outcome(kind, number, what, message, spent, peak)
        finally:
            process.kill()


def serve(seconds: int) -> None:
    """The process's side: tries come in on standard input, outcomes go out on standard output, as lines of JSON."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints to standard output counts as printed, too
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bases: dict[str, dict[str, bytes]] = {}
    with tempfile.TemporaryDirectory() as place:
        empty = Path(place) / "base"
        empty.mkdir()
        for line in sys.stdin:
            kind, number = json.loads(line)
            rng = Random(f"{kind}/{number}")
            other = rng.choice(KINDS)
            for needed in (kind, other):
                if needed not in bases:
                    bases[needed] = dict(make_base(needed, empty))
            files = mutate(bases[kind], rng, rng.choice(sorted(bases[other].values())))
            folder = Path(place) / "scan"
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)
            _bound_time(seconds)
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before = time.process_time()
            what, message = _attempt(kind, opened(kind, folder, files), take)
            spent = time.process_time() - before
            for name in files:
                (folder / name).unlink()
            folder.rmdir()
            print(json.dumps([what, message, spent, _peak_mebibytes()]), file=out, flush=True)


def _bound_time(seconds: int) -> None:
    """The process is killed when it has used so many more seconds of a processor."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _peak_mebibytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM:"))


def _attempt(kind: str, path: Path, take: Callable[[str, Path], None]) -> tuple[str, str]:
    try:
        take(kind, path)
    except (InputError, OutputError) as error:
        message = str(error)
        odd = not message.startswith(str(path)) or not message.isprintable()
        names = any(text in message for text in PATIENT_TAGS.values())
        return "no line that names the file alone" if odd or names else REFUSED, message
    except BaseException as error:
        return f"raised {type(error).__name__}", str(error)
    return READ, ""


def tally(outcomes: Iterable[Outcome]) -> tuple[dict[str, Counter[str]], list[Outcome], float, int]:
    """How often each kind was read, refused or else; the findings; and the most CPU seconds and MiB of a try."""
    counts: dict[str, Counter[str]] = {}
    findings, most, peak = [], 0.0, 0
    for outcome in outcomes:
        counts.setdefault(outcome.kind, Counter())[outcome.what if not outcome.found else "finding"] += 1
        most, peak = max(most, outcome.seconds), max(peak, outcome.mebibytes)
        if outcome.found:
            findings.append(outcome)
    return counts, findings, most, peak
