"""The Slurm script of the documents is the one that dask-jobqueue would submit."""

import re
from pathlib import Path

from dask_jobqueue.slurm import SLURMJob

DOCUMENT = Path(__file__).parents[2] / "docs" / "batch.md"


def test_the_documented_script_is_that_of_dask_jobqueue():
    text = DOCUMENT.read_text("utf-8")
    (script,) = (example for example in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) if "#SBATCH" in example)
    options = re.search(r"SLURMCluster\((.*?)\)", text)[1]
    asked = eval(f"dict({options})")
    job = SLURMJob("tcp://HOST:8786", name="whs-fast", python="python", **asked)
    assert job.job_script().split() == script.split()
