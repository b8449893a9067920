import json

import pytest

from ingest.box.faults.answers import delivered
from ingest.box.faults.desk import Desk, Fault
from ingest.box.wire import Asked, json_reply
from tests.boxes import MIDNIGHT_NS
from utils.rows import NS_PER_MS

REPLY = json_reply({"serverTime": 5})


def answered(fault=None, venue="binance", reply=REPLY):
    desk = Desk(1)
    if fault:
        desk.inject(fault, MIDNIGHT_NS)
    return delivered(desk, venue, Asked("/fapi/v1/time", {"a": "1"}), reply, None, MIDNIGHT_NS)


def test_a_right_answer_leaves_as_it_is():
    assert REPLY == answered() == answered(Fault("html", match="klines"))


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault("html"), 200, b"<!DOCTYPE"),
        (Fault("empty_array"), 200, b"[]"),
        (Fault("null_body"), 200, b"null"),
        (Fault("truncated_json"), 200, REPLY.body[:8]),
        (Fault("bom"), 200, b"\xef\xbb\xbf{"),
        (Fault("banned"), 418, b"<html>"),
        (Fault("forbidden"), 403, b"<html>"),
        (Fault("rate_limited"), 429, b'{"code":-1003'),
        (Fault("server_error", status=502, body="text"), 502, b"Service unavailable"),
    ],
)
def test_a_fault_takes_the_place_of_the_answer(fault, status, body):
    reply = answered(fault)
    assert (status, body) == (reply.status, reply.body[: len(body)])


def test_an_answer_may_be_cut_slow_or_not_come():
    faults = (Fault("cut_body"), Fault("hang_up"), Fault("slow", seconds=3.0), Fault("trickle", seconds=0.1))
    assert [(0.5, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 3.0, 0.0), (1.0, 0.0, 0.1)] == [
        (reply.sent, reply.delay_s, reply.byte_s) for reply in map(answered, faults)
    ]


def test_keys_come_twice_only_where_there_are_keys():
    assert b'{"serverTime":5,"serverTime":null}' == answered(Fault("duplicate_keys")).body
    assert b"[]" == answered(Fault("duplicate_keys"), reply=json_reply([])).body


def test_bybits_limit_is_told_in_its_own_words_with_the_time_of_its_reset():
    reply = answered(Fault("rate_code", retry_after=1.5), "bybit")
    assert (200, 10006) == (reply.status, json.loads(reply.body)["retCode"])
    assert str(MIDNIGHT_NS // NS_PER_MS + 1500) == reply.headers["X-Bapi-Limit-Reset-Timestamp"]


def test_a_clock_that_is_off_shows_in_every_answer():
    assert 2005 == json.loads(answered(Fault("clock_skew", seconds=2.0, times=0)).body)["serverTime"]
