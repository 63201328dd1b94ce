"""Several processes that write side by side: none takes away what another one needs."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the system cannot fork")

# Every round, all writers begin at once below a parent that is not there yet. Some give up, and take away the parents
# that they have made; the others must not notice.
PROGRAM = """
import multiprocessing, sys
from pathlib import Path
from whs_fast.writing.result_folder import written_aside

place, rounds, writers, quitters = Path(sys.argv[1]), *map(int, sys.argv[2:])

def work(number, together):
    for turn in range(rounds):
        together.wait()
        try:
            with written_aside(place / f"{turn}" / "new" / f"{number}", overwrite=False) as aside:
                if number < quitters:
                    raise KeyError
                (aside / "measurements.json").write_text(f"{number}")
        except KeyError:
            pass
        except OSError as error:
            print(error, file=sys.stderr)

fork = multiprocessing.get_context("fork")
together = fork.Barrier(writers)
processes = [fork.Process(target=work, args=(number, together)) for number in range(writers)]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(any(process.exitcode for process in processes))
"""


@pytest.mark.parametrize("quitters", [0, 4])
def test_eight_processes_write_into_one_new_parent(tmp_path, quitters):
    rounds, writers = 100, 8
    numbers = [str(number) for number in (rounds, writers, quitters)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *numbers], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for turn in range(rounds):
        parent = tmp_path / f"{turn}" / "new"
        assert {path.name for path in parent.iterdir()} == {str(number) for number in range(quitters, writers)}
        for path in parent.iterdir():
            assert (path / "measurements.json").read_text() == path.name
