from utils.shell.moments import at_ms

NEW_YEAR = 1_735_689_600_000  # 2025


def test_times_in_messages_are_iso_without_what_is_zero():
    seen = [at_ms(NEW_YEAR + ms) for ms in (0.0, 1000.0, 1.0, 1e300)]
    assert ["2025-01-01T00:00Z", "2025-01-01T00:00:01Z", "2025-01-01T00:00:00.001Z", "1e+300 ms"] == seen
