import json

import pytest

from ingest.box.bybit import ws as bybit_ws
from ingest.box.faults.desk import Desk
from ingest.box.served.front import Front
from ingest.box.served.limits import Limits
from ingest.box.topics import Topics
from ingest.box.wire import Asked
from tests.boxes import scripted


def front(**limits):
    exchange, desk = scripted(), Desk(1)
    topics = Topics(exchange, "bybit", desk, lambda name: bybit_ws.build(exchange, name))
    return Front(exchange, topics, desk, Limits(**limits), seed=1)


def get(one, path, method="GET", **query):
    return one.reply(method, Asked(path, query), "http://box")


@pytest.mark.parametrize(
    ("path", "venue"),
    [
        ("/fapi/v1/time", "binance"),
        ("/v5/market/time", "bybit"),
        ("/api/v1/posts/", "cryptopanic"),
        ("/api/v3/global", "coingecko"),
        ("/pro/api/v3/global", "coingecko"),
        ("/elsewhere", ""),
    ],
)
def test_a_path_belongs_to_one_venue(path, venue):
    assert venue == front().venue(path)


def test_what_nobody_knows_is_refused_and_noted():
    one = front()
    assert [404, 404] == [get(one, "/elsewhere").status, get(one, "/fapi/v1/time", "POST").status]
    assert 200 == get(one, "/fapi/v1/time", depth="5").status
    assert ["GET /elsewhere", "POST /fapi/v1/time", "GET /fapi/v1/time?depth"] == one.unknown


def test_an_answer_tells_the_venues_budget_also_when_it_is_a_refusal():
    one = front(binance_weight=1)
    first, second = get(one, "/fapi/v1/time"), get(one, "/fapi/v1/time")
    assert [(200, "1"), (429, "2")] == [
        (reply.status, reply.headers["X-MBX-USED-WEIGHT-1M"]) for reply in (first, second)
    ]
    assert -1003 == json.loads(second.body)["code"]
    assert "X-Bapi-Limit" in get(one, "/v5/market/time").headers
