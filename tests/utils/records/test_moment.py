"""What a run is, and one moment of it."""

from tests.journal import META
from utils.records.moment import Moment
from utils.records.names import Words


def test_the_words_of_a_run_are_those_of_its_log_tables():
    assert Words(("BTCUSDT", "ETHUSDT"), ("binance usdm, live",) * 2, 10_000.0, 50.0) == META.words


def test_a_moment_in_which_nothing_happened_needs_its_time_only():
    quiet = Moment(60)
    assert ({}, {}, None) == (quiet.rows, quiet.inputs, quiet.state)
