"""How often the venues let themselves be asked."""

from ingest.box.served.limits import BinanceBudget, BybitBudget, Limits
from ingest.box.wire import Asked
from tests.boxes import MIDNIGHT_NS
from utils.rows import NS_PER_S

TRADES = Asked("/fapi/v1/aggTrades", {"symbol": "BTCUSDT"})  # weighs 20
FUNDING = Asked("/fapi/v1/fundingRate", {"symbol": "BTCUSDT"})


def later(seconds: float) -> int:
    return MIDNIGHT_NS + round(seconds * NS_PER_S)


def test_used_weight_is_told_and_forgotten_each_minute():
    budget = BinanceBudget(Limits())
    for seconds, used in ((0, "20"), (59, "40"), (60, "20")):
        assert budget.refusal(TRADES, later(seconds)) is None
        assert {"X-MBX-USED-WEIGHT-1M": used} == budget.headers()


def test_beyond_the_budget_is_429_until_the_minute_is_over():
    budget = BinanceBudget(Limits(binance_weight=30))
    assert budget.refusal(TRADES, later(0)) is None
    refused = budget.refusal(TRADES, later(12.5))
    assert (429, "48") == (refused.status, refused.headers["Retry-After"])
    assert budget.refusal(TRADES, later(60)) is None


def test_who_goes_on_is_banned():
    budget = BinanceBudget(Limits(binance_weight=30, binance_patience=2))
    seen = [budget.refusal(TRADES, later(0)) for _ in range(5)]
    assert [None, 429, 429, 418, 418] == [reply and reply.status for reply in seen]
    assert "120" == seen[-1].headers["Retry-After"]
    assert [418, None] == [reply and reply.status for reply in (budget.refusal(TRADES, later(s)) for s in (119, 120))]


def test_fundings_have_a_budget_of_their_own():
    budget = BinanceBudget(Limits(binance_funding=2))
    seen = [budget.refusal(FUNDING, later(seconds)) for seconds in (0, 1, 2, 300)]
    assert [None, None, 429, None] == [reply and reply.status for reply in seen]
    assert {"X-MBX-USED-WEIGHT-1M": "0"} == budget.headers()


def test_bybit_says_what_is_left_of_five_seconds():
    budget = BybitBudget(Limits(bybit_requests=3))
    assert [None, None] == [budget.refusal(later(s)) for s in (0, 1)]
    assert {
        "X-Bapi-Limit": "3",
        "X-Bapi-Limit-Status": "1",
        "X-Bapi-Limit-Reset-Timestamp": str(later(5) // 1_000_000),
    } == budget.headers()


def test_beyond_its_budget_bybit_shuts_the_door_for_ten_minutes():
    budget = BybitBudget(Limits(bybit_requests=2))
    seen = [budget.refusal(later(seconds)) for seconds in (0, 1, 2, 500, 603)]
    assert [None, None, 403, 403, None] == [reply and reply.status for reply in seen]
