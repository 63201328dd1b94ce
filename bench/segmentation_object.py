"""Time and size of the DICOM Segmentation of a scan of 512 x 512 x 400. Goal: 5 s of one core and 10 MB.

`python bench/segmentation_object.py`. The benchmark scan is written as a series, read and run; then its Segmentation
and report are written three times. Seconds are those of the processor, since the machine may be busy.
"""

import sys
import tempfile
import time
from pathlib import Path

from whs_fast import Engine
from whs_fast.cli.benchmarking import make_scan
from whs_fast.reading.scan import read
from whs_fast.writing.dicom.objects import write_objects

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.scans import write_dicom

MOST_S, MOST_MB = 5.0, 10.0


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_scan(folder / "scan.nii")
        series = write_dicom(read(folder / "scan.nii"), folder / "series")
        volume = read(series)
        result = Engine().run(series)
        seconds = []
        for _ in range(3):
            start = time.process_time()
            write_objects(folder, result.labels, volume.grid, volume.source, result.measurements)
            seconds.append(time.process_time() - start)
        size_mb = (folder / "labels.dcm").stat().st_size / 1e6
        frames = sum(int((result.labels == label).any(axis=(1, 2)).sum()) for label in range(1, 11))
        print(f"{frames} frames: {min(seconds):.1f} s (goal {MOST_S:.0f}), {size_mb:.1f} MB (goal {MOST_MB:.0f})")
        assert frames > 1000


if __name__ == "__main__":
    main()
