"""Settings for every test: hypothesis is given time (shared CI machines are slow) and repeats itself exactly."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "whs_fast", deadline=None, derandomize=True, max_examples=120, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("whs_fast")
