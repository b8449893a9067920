import json

import pytest

from ingest.box.wire import Asked, json_reply, text_of, whole_number


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("-3", -3), ("", None), ("1.5", None), ("١", None), ("9" * 20, None)]
)
def test_a_parameter_is_a_whole_number_or_none(text, number):
    assert number == whole_number(text)


def test_a_request_knows_which_of_its_parameters_nobody_read():
    asked = Asked("/x", {"symbol": "BTCUSDT", "b": "1", "a": "2"}, {"Host": "h"})
    assert ("BTCUSDT", "7", "h") == (asked.text("symbol"), asked.text("limit", "7"), asked.headers["host"])
    assert ["a", "b"] == asked.unread()
    asked.refused()
    assert [] == asked.unread()


def test_an_answer_of_json_is_compact_text():
    reply = json_reply({"a": [1, "x"]}, 429)
    assert (429, '{"a":[1,"x"]}', {"a": [1, "x"]}) == (reply.status, text_of({"a": [1, "x"]}), json.loads(reply.body))
