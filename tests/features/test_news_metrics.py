import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.news_metrics import news_metrics
from utils.errors import ConfigError
from utils.rows import S_PER_DAY, S_PER_HOUR

S = 10**9
NOW = 1_000_000 * S


@dataclass(frozen=True)
class Row:
    """A headline as it was seen `seen` seconds before now, published `age` seconds before now."""

    id: str
    age: float
    seen: float = 0.0
    currencies: tuple[str, ...] = ("BTC",)
    kind: str = "news"
    votes: dict[str, int] | None = field(default=None, hash=False)

    @property
    def published_ns(self):
        return NOW - round(self.age * S)

    @property
    def seen_ns(self):
        return NOW - round(self.seen * S)

    @property
    def available_ns(self):
        return max(self.published_ns, self.seen_ns)


OLD = Row("old", 30 * S_PER_HOUR, kind="media")  # so that the whole day was seen


def votes(bulls, bears, age=60.0, name="v"):
    return Row(name, age, votes={"positive": bulls, "negative": bears, "liked": 99, "lol": 7})


def test_headlines_are_counted_by_time_of_publication():
    ages = [0.0, 899.0, 900.0, 3599.0, 3600.0, S_PER_DAY - 1, S_PER_DAY]
    seen = news_metrics([OLD, *(Row(str(age), age) for age in ages)], NOW)
    assert (2.0, 4.0, 6.0) == seen.counts
    assert (0.0, 0.0) == (seen.since_last_s, seen.view_age_s)
    assert {"news": 6} == seen.kinds


def test_a_headline_seen_often_counts_once_with_its_latest_votes():
    rows = [
        Row("a", 100.0, seen, votes={"positive": n, "negative": 10 - n}) for n, seen in [(9, 5.0), (5, 50.0), (2, 20.0)]
    ]
    seen = news_metrics([OLD, *rows], NOW)
    assert (1.0, pytest.approx(0.8), 10) == (seen.counts[0], seen.sentiment, seen.votes)
    assert pytest.approx(-0.6) == news_metrics([OLD, *rows], NOW - 10 * S).sentiment


def test_burst_is_the_rate_now_over_the_rate_before():
    rows = [Row(f"new {i}", 10.0 * i) for i in range(3)] + [Row(f"day {i}", 3600.0 + i) for i in range(19)]
    assert pytest.approx((3 / 0.25) / (19 / 23.75)) == news_metrics([OLD, *rows], NOW).burst
    assert math.isnan(news_metrics([OLD, *rows[:3]], NOW).burst)
    assert 0.0 == news_metrics([OLD, *rows[3:]], NOW).burst


@pytest.mark.parametrize(
    ("bulls", "bears", "sentiment"),
    [(5, 0, 1.0), (0, 5, -1.0), (4, 4, 0.0), (6, 2, 0.5), (4, 0, math.nan), (0, 0, math.nan)],
)
def test_sentiment_is_what_readers_voted_and_needs_enough_of_them(bulls, bears, sentiment):
    seen = news_metrics([votes(bulls, bears)], NOW)
    assert pytest.approx(sentiment, nan_ok=True) == seen.sentiment
    assert bulls + bears == seen.votes


def test_older_votes_weigh_less_and_those_beyond_the_longest_window_nothing():
    rows = [
        votes(10, 0, age=0.0, name="a"),
        votes(0, 10, age=S_PER_HOUR, name="b"),
        votes(0, 999, age=S_PER_DAY, name="c"),
    ]
    assert pytest.approx((10 - 5) / 15) == news_metrics(rows, NOW, half_life_s=S_PER_HOUR).sentiment
    assert math.isnan(news_metrics(rows[1:2], NOW, half_life_s=1e-3).sentiment)


def test_a_window_that_was_not_seen_has_no_count():
    first = [Row("a", 1000.0), Row("b", 10.0)]
    seen = news_metrics(first, NOW)
    assert 1.0 == seen.counts[0]
    assert all(map(math.isnan, (*seen.counts[1:], seen.burst)))


def test_fetches_join_when_one_reaches_back_to_the_one_before_it():
    before = [Row("a", 30 * S_PER_HOUR, S_PER_HOUR), Row("b", 2 * S_PER_HOUR, S_PER_HOUR)]
    joined = [*before, Row("b", 2 * S_PER_HOUR), Row("c", 10.0)]
    assert (1.0, 1.0, 2.0) == news_metrics(joined, NOW).counts
    # the recorder was away and the service showed less than it had missed
    hole = [*before, Row("c", 10.0), Row("d", 1800.0)]
    counts = news_metrics(hole, NOW).counts
    assert 1.0 == counts[0]
    assert all(map(math.isnan, counts[1:]))


def test_a_currency_has_its_own_numbers_over_what_all_rows_show():
    rows = [OLD, Row("a", 10.0, currencies=("ETH", "BTC")), Row("b", 20.0, currencies=()), Row("c", 30.0)]
    assert [(3.0, 10.0), (1.0, 10.0), (0.0, math.nan)] == [
        (seen.counts[0], pytest.approx(seen.since_last_s, nan_ok=True))
        for seen in (news_metrics(rows, NOW, currency=coin) for coin in (None, "ETH", "XRP"))
    ]


def test_without_headlines_nothing_is_known():
    seen = news_metrics([], NOW)
    assert all(map(math.isnan, (*seen.counts, seen.since_last_s, seen.burst, seen.sentiment, seen.view_age_s)))
    assert ({}, 0) == (seen.kinds, seen.votes)


def test_a_service_that_fell_silent_shows_in_the_age_of_the_view():
    assert (600.0, 1000.0) == (
        news_metrics([Row("a", 1000.0, 600.0)], NOW).view_age_s,
        news_metrics([Row("a", 1000.0, 600.0)], NOW).since_last_s,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows_s": ()},
        {"windows_s": (0.0, 5.0)},
        {"windows_s": (9.0, 5.0)},
        {"windows_s": (math.nan,)},
        {"half_life_s": 0.0},
        {"half_life_s": math.nan},
        {"min_votes": 0},
    ],
)
def test_senseless_windows_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        news_metrics([], NOW, **wrong)


ROWS = st.lists(
    st.builds(
        Row,
        id=st.sampled_from("abcdef"),
        age=st.floats(-2 * S_PER_DAY, 2 * S_PER_DAY),
        seen=st.floats(-2 * S_PER_DAY, 2 * S_PER_DAY),
        currencies=st.sampled_from([(), ("BTC",), ("ETH", "BTC")]),
        kind=st.sampled_from(["news", "media", ""]),
        votes=st.none() | st.dictionaries(st.sampled_from(["positive", "negative", "lol"]), st.integers(0, 9)),
    ),
    max_size=12,
)


@given(ROWS, st.sampled_from([None, "BTC", "ETH"]))
def test_what_becomes_available_later_changes_nothing(rows, currency):
    known = [row for row in rows if row.available_ns <= NOW]
    assert repr(news_metrics(known, NOW, currency=currency)) == repr(news_metrics(rows, NOW, currency=currency))


@given(ROWS)
def test_numbers_keep_their_bounds_and_know_no_order(rows):
    seen = news_metrics(rows, NOW)
    assert not seen.since_last_s < 0
    assert not seen.burst < 0
    assert not abs(seen.sentiment) > 1
    counted = [count for count in seen.counts if not math.isnan(count)]
    assert sorted(counted) == counted
    again = news_metrics(sorted(rows, key=lambda row: row.id), NOW)
    if len({(row.id, row.seen) for row in rows}) == len(rows):
        assert seen.counts == pytest.approx(again.counts, nan_ok=True)
        assert seen.sentiment == pytest.approx(again.sentiment, nan_ok=True, abs=1e-12)
