"""From rows to the columns of the log files."""

import numpy as np
import pytest

from tests.market import NAN, row
from utils.codes import (
    CLOSED,
    HELD,
    MAKER,
    MARKET,
    MIN_NOTIONAL,
    OPENED,
    POST_ONLY,
    REFUSED,
    REJECTED,
    STOP_LOSS,
    TAKE_PROFIT,
    TAKER,
)
from utils.records.names import equity_columns, order_columns, reasons_of, signal_columns, trade_columns
from utils.records.schema import EQUITY_COLUMNS, ORDER_COLUMNS, SIGNAL_COLUMNS, TRADE_COLUMNS
from utils.rows import DECISION, EQUITY, ORDER, TRADE

NAMES, SOURCES = ("AAA", "BBB"), ("a.parquet", "b.parquet")


@pytest.fixture(scope="module")
def trades():
    """Three trades as the engine closed them: the second to enter was the last to leave, two left together."""
    one = row(TRADE, entry_no=3, sym=1, side=-1, exit_ts=50, net_pnl=-2.0, exit_reason=STOP_LOSS, exit_liquidity=TAKER)
    two = row(TRADE, entry_no=1, sym=0, side=1, exit_ts=50, net_pnl=5.0, exit_reason=TAKE_PROFIT, exit_liquidity=MAKER)
    six = row(TRADE, entry_no=2, sym=0, side=1, exit_ts=40, net_pnl=1.0, exit_reason=TAKE_PROFIT, exit_liquidity=MAKER)
    return trade_columns(np.concatenate([one, two, six]), NAMES, 100.0, SOURCES)


def test_trades_stand_in_order_of_exit_then_entry(trades):
    assert TRADE_COLUMNS == tuple(trades)
    assert [2, 1, 3] == trades["trade_id"].tolist()


def test_equity_after_is_capital_and_the_net_of_all_rows_so_far(trades):
    assert [101.0, 106.0, 104.0] == trades["equity_after"].tolist()


def test_trades_speak_in_names(trades):
    assert ["AAA", "AAA", "BBB"] == trades["symbol"].tolist()
    assert ["long", "long", "short"] == trades["side"].tolist()
    assert ["TAKE_PROFIT", "TAKE_PROFIT", "STOP_LOSS"] == trades["exit_reason"].tolist()
    assert ["maker", "maker", "taker"] == trades["exit_liquidity"].tolist()
    assert ["a.parquet", "a.parquet", "b.parquet"] == trades["source"].tolist()


def test_no_trades_are_a_table_all_the_same():
    assert [0] * len(TRADE_COLUMNS) == [len(v) for v in trade_columns(np.zeros(0, TRADE), NAMES, 1.0, SOURCES).values()]


def test_orders_speak_in_names():
    rejected = row(ORDER, order_id=9, sym=1, side=-1, kind=POST_ONLY, status=REJECTED, reason=MIN_NOTIONAL)
    columns = order_columns(rejected, NAMES, 50.0, SOURCES)
    assert ORDER_COLUMNS == tuple(columns)
    wanted = {"order_id": 9, "trade_id": 0, "symbol": "BBB", "side": "sell", "kind": "POST_ONLY", "status": "REJECTED"}
    wanted |= {"reason": "MIN_NOTIONAL", "latency_ms": 50.0, "source": "b.parquet"}
    assert wanted == {name: columns[name][0] for name in wanted}


def decision(action, side=1, **fields):
    unset = {"threshold": NAN, "value": NAN, "limit": NAN}
    return row(DECISION, ts=60, sym=0, side=side, action=action, **{**unset, **fields})


def test_signals_say_what_was_decided_and_why():
    said = np.concatenate([decision(OPENED), decision(CLOSED, 0), decision(HELD, -1)])
    columns = signal_columns(said, NAMES, SOURCES)
    assert SIGNAL_COLUMNS == tuple(columns)
    assert ["OPENED", "CLOSED", "HELD"] == columns["action"].tolist()
    assert ["long", "close", "short"] == columns["side"].tolist()


def test_a_refusal_names_rule_value_and_threshold():
    passed = {"strength": 41.26, "threshold": 30.0}
    said = np.concatenate(
        [
            decision(OPENED, **passed),
            decision(REFUSED, **passed, rule=2, value=3.0, limit=3.0),
            decision(CLOSED, rule=6, value=4.5, limit=5.0),
            decision(HELD),
        ]
    )
    assert [
        "strength=41.3>=30.0",
        "strength=41.3>=30.0;max_positions=3>=3",
        "min_notional=4.5<5",
        "",
    ] == reasons_of(said)


def test_equity_keeps_its_numbers():
    columns = equity_columns(row(EQUITY, ts=60, equity=99.0, realised=-1.0, drawdown=0.01))
    assert EQUITY_COLUMNS == tuple(columns)
    assert [60, 99.0, -1.0, 0.0, 0.01] == [columns[name][0] for name in EQUITY_COLUMNS]


def test_kinds_of_orders_are_named():
    assert "MARKET" == order_columns(row(ORDER, kind=MARKET), NAMES, 0.0, SOURCES)["kind"][0]
