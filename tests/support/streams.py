"""What a command says on standard error."""

import re


def without_progress(error):
    """Standard error less the lines that say how far a slow machine is, such as " 20%  segment"."""
    return re.sub(r"^ *\d+%  \w+\n", "", error, flags=re.M)
