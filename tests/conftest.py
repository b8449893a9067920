"""What all tests share: hypothesis draws the same examples everywhere, and keeps none."""

from hypothesis import HealthCheck, settings

# a busy machine is no reason to fail
settings.register_profile(
    "house", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")
