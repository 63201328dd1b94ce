"""The long run: python tests/hostile/run.py --count 20000; prints counts by kind and every finding.

--only 'KIND:NUMBER' repeats one try.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from hostile.bases import KINDS
from hostile.trying import Outcome, nth_tries, run_tries, tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", help="KIND:NUMBER")
    parser.add_argument("--kind", choices=KINDS, help="tries of one kind alone")
    options = parser.parse_args()
    if options.only:
        kind, _, number = options.only.rpartition(":")
        tries = [(kind, int(number))]
    else:
        tries = nth_tries(options.count, options.first, (options.kind,) if options.kind else KINDS)
    counts, findings, most, peak = tally(_told(run_tries(tries)))
    for kind, count in counts.items():
        print(f"{kind:<28}", ", ".join(f"{number} {what}" for what, number in sorted(count.items())))
    print(f"{len(tries)} tries, {len(findings)} findings, at most {most:.2f} s of a processor and {peak} MiB a try")
    return 1 if findings else 0


def _told(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    for number, outcome in enumerate(outcomes, 1):
        if outcome.found:
            print(f"{outcome.kind}:{outcome.number} {outcome.what}: {outcome.message}", flush=True)
        if number % 1000 == 0:
            print(f"{number} tries", file=sys.stderr, flush=True)
        yield outcome


if __name__ == "__main__":
    sys.exit(main())
