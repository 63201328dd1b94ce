"""Settings for every test: hypothesis is given time (shared CI machines are slow) and repeats itself exactly.

Compiled networks are not kept: no test leaves anything in the home of whoever runs it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "whs_fast", deadline=None, derandomize=True, max_examples=120, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("whs_fast")

os.environ["WHS_FAST_CACHE"] = "off"
