"""Importing the package costs next to nothing: what is heavy is loaded when it is used."""

import ast
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, sysconfig
before = set(sys.modules)
import whs_fast
packages = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items() if name not in before}
print(sorted(name for name, file in files.items() if file.startswith(tuple(packages)) or "site-packages" in file))
print("whs_fast" in files, "numpy" in sys.modules)
"""


def test_importing_the_package_loads_nothing_that_others_wrote():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    others, found = done.stdout.splitlines()
    assert [name for name in eval(others) if name.partition(".")[0] != "whs_fast"] == []
    assert found == "True False"


def test_no_module_needs_what_windows_lacks_when_it_is_imported():
    """Neither of the package nor of the tests: those must be there to be skipped."""
    root, lacking = Path(__file__).parents[1], {"fcntl", "grp", "pwd", "resource", "termios"}
    files = [*(root / "python").rglob("*.py"), *(root / "tests").rglob("*.py")]
    assert len(files) > 200
    for file in files:
        for statement in ast.parse(file.read_text("utf-8")).body:
            names = {alias.name for alias in statement.names} if isinstance(statement, ast.Import) else set()
            if lacking & names:
                assert file.name == "trying.py", f"{file}: line {statement.lineno}"  # its bounds are Linux's


def test_without_simpleitk_files_are_read_and_dicom_is_refused_with_one_line(tmp_path):
    program = (
        "import sys; sys.modules['SimpleITK'] = None\n"
        "from importlib import resources\n"
        "from whs_fast.errors import InputError\n"
        "from whs_fast.reading.scan import read\n"
        "print(read(str(resources.files('whs_fast') / 'data' / 'sample.nii.gz')).array.ndim)\n"
        "try: read(sys.argv[1])\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["3", "SimpleITK, which reads DICOM, is not installed: pip install SimpleITK"]
