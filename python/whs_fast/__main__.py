"""Lets `python -m whs_fast` do what `whs-fast` does."""

import sys

from whs_fast.cli import main

sys.exit(main())
