"""Importing the package costs next to nothing: what is heavy is loaded when it is used."""

import subprocess
import sys

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
