"""What stands ready to be sent is the Answer, field by field; only its time and ages change."""

import json

from exec.advice import Advice, Answer, SizeAdvice
from exec.live.standing import age_s, standing_of
from features.live import Stamps
from utils.rows import NS_PER_MINUTE, NS_PER_S

#: 2026-01-02T03:04:00Z
CLOSE = 1_767_323_040 * NS_PER_S
ADVICE = Advice(
    symbol="BTCUSDT", timeframe="1m", closed_at="2026-01-02T03:04:00.000Z", close=95_000.5, side="none", strength=1.5,
    threshold=60.0, gate="strength", action="NONE", reasons=["strength=1.5<60.0"], model=None, p_win=None,
    expected_bps=None, least_bps=None, order=None, size=SizeAdvice(), regime="low", favourability=None, spread_bps=0.1,
)  # fmt: skip


def standing(book=0, prints=0, patience_ns=90 * NS_PER_S):
    return standing_of(7, ADVICE, CLOSE, 'a "box" by streams', lambda: Stamps(book, prints), patience_ns=patience_ns)


def test_it_is_the_answer_to_the_last_field():
    now = CLOSE + 12_345_678_901
    one = standing(now - NS_PER_S // 4, now - 2 * NS_PER_S)
    answer = Answer.model_validate_json(one.json(now))
    assert ADVICE == Advice(**{name: getattr(answer, name) for name in Advice.model_fields})
    assert ('a "box" by streams', "2026-01-02T03:04:12.345Z") == (answer.source, answer.as_of)
    assert (12.346, 0.25, 2.0) == (answer.ages.bar_s, answer.ages.book_s, answer.ages.prints_s)
    assert answer == Answer.model_validate_json(answer.model_dump_json())
    assert list(Answer.model_fields) == list(json.loads(one.json(now)))


def test_what_was_never_heard_has_no_age_and_a_clock_behind_the_exchange_says_0():
    assert b'"ages":{"bar_s":0.000,"book_s":null,"prints_s":null}}' == standing().json(CLOSE - NS_PER_S)[-53:]
    assert (None, 0.0, 1.5) == (age_s(0, CLOSE), age_s(CLOSE, CLOSE - 1), age_s(CLOSE, CLOSE + 3 * NS_PER_S // 2))


def test_it_is_fresh_until_a_later_close_must_be_there():
    one = standing()
    assert [True, True, False] == [one.fresh(CLOSE + s * NS_PER_S) for s in (0, 90, 91)]


def test_where_time_stands_still_it_is_answered_at_its_close_for_ever():
    one = standing(patience_ns=None)
    assert one.fresh(CLOSE + 10**6 * NS_PER_MINUTE)
    assert one.json(CLOSE) == one.json(CLOSE + 10**6 * NS_PER_MINUTE)
    assert "2026-01-02T03:04:00.000Z" == json.loads(one.json(0))["as_of"]
