"""The toolkit's global variables are there before any thread reads.

The crash that their making in several threads causes is too rare to wait for: seven of 9,148 fresh processes in which
four threads open their first files at once.
"""

import subprocess
import sys

# Each wrapped call notes who went through it: in all of them ITK makes variables at the first use.
CODE = """
import SimpleITK as sitk, threading
made = []

def noted(kind, method):
    call = getattr(kind, method)
    def wrapper(self, *arguments):
        made.append((method, threading.current_thread() is threading.main_thread()))
        return call(self, *arguments)
    setattr(kind, method, wrapper)

noted(sitk.ImageFileReader, "ReadImageInformation")
noted(sitk.CastImageFilter, "Execute")
import whs_fast.reading.scan
assert made == []  # files that are read without the toolkit do not pay for it
import whs_fast.reading.dicom.series
assert made == [("ReadImageInformation", True), ("Execute", True)], made
assert sitk.ProcessObject.GetGlobalWarningDisplay()
"""


def test_globals_are_made_by_the_import_in_silence() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
