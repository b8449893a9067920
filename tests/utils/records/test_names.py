"""From rows to the columns of the log files."""

import math

import numpy as np
import pytest

from risk.halts import NEVER
from tests.market import NAN, row
from utils.codes import (
    BY_ATR,
    BY_BPS,
    BY_DEPTH,
    BY_FIXED,
    BY_FLOOR,
    BY_HEAT,
    BY_LIQUIDATION,
    BY_RISK,
    BY_SIGNAL,
    CLOSED,
    ENTRY,
    EXPECTED_NET,
    HELD,
    MAKER,
    MARKET,
    MIN_NOTIONAL,
    OPENED,
    POST_ONLY,
    REFUSED,
    REJECTED,
    RULE_NAMES,
    RULE_SIGNS,
    STOP,
    STOP_LOSS,
    TAKE_PROFIT,
    TAKER,
    TOO_SMALL,
)
from utils.records.names import (
    Words,
    equity_columns,
    fill_columns,
    log_order,
    log_tables,
    order_columns,
    reasons_of,
    refusal_text,
    signal_columns,
    tables_in_words,
    trade_columns,
)
from utils.records.schema import (
    EQUITY_COLUMNS,
    FILL_COLUMNS,
    NO_TIME,
    ORDER_COLUMNS,
    SIGNAL_COLUMNS,
    TRADE_COLUMNS,
)
from utils.rows import DECISION, EQUITY, FILL, ORDER, TRADE

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


def test_an_order_says_what_it_was_for_and_when_it_arrived_where_its_row_does():
    rows = np.concatenate([row(ORDER, role=STOP, arrival_ts=60, end_ts=90, mid=99.5), row(ORDER, role=ENTRY, mid=NAN)])
    columns = order_columns(rows, NAMES, 50.0, SOURCES)
    assert ["STOP", "ENTRY"] == columns["role"].tolist()
    assert [60, NO_TIME] == columns["arrival_time"].tolist()
    assert [90, NO_TIME] == columns["end_time"].tolist()
    assert 99.5 == columns["arrival_mid"][0]
    older = [
        name
        for name in ORDER.names
        if name not in {"role", "arrival_ts", "end_ts", "mid", "spread_cost", "impact_cost"}
    ]
    older = order_columns(rows[older], NAMES, 50.0, SOURCES)
    said = {name: older[name].tolist() for name in ("role", "arrival_time", "end_time")}
    assert {"role": ["", ""], "arrival_time": [NO_TIME] * 2, "end_time": [NO_TIME] * 2} == said
    assert np.isnan([older[name] for name in ("arrival_mid", "spread_cost", "impact_cost")]).all()


def test_fills_stand_in_order_of_time_then_number_and_speak_in_names():
    late = row(FILL, fill_id=1, order_id=4, entry_no=2, sym=1, side=-1, liquidity=MAKER, ts=90, seen_ts=95, price=2.0)
    early = [row(FILL, fill_id=number, side=1, liquidity=TAKER, ts=60) for number in (3, 2)]
    columns = fill_columns(np.concatenate([late, *early]), NAMES, SOURCES)
    assert FILL_COLUMNS == tuple(columns)
    assert [2, 3, 1] == columns["fill_id"].tolist()
    wanted = {"order_id": 4, "trade_id": 2, "symbol": "BBB", "side": "sell", "liquidity": "maker", "time": 90}
    wanted |= {"seen_time": 95, "price": 2.0, "source": "b.parquet"}
    assert wanted == {name: columns[name][2] for name in wanted}


def test_tables_come_in_parts_to_the_same_numbers():
    rng = np.random.default_rng(1)
    trades = np.zeros(30, TRADE)
    trades["net_pnl"], trades["exit_ts"] = rng.normal(size=30) * 1e3, np.arange(30)
    words = Words(NAMES, SOURCES, 1e4)
    whole = log_tables({"trades": trades}, words)["trades"]["equity_after"]
    parts, realised = [], 0.0
    for part in np.split(trades, [1, 1, 7]):
        parts.append(tables_in_words(log_order({"trades": part}), words, realised)["trades"]["equity_after"])
        realised = np.cumsum([realised, *part["net_pnl"]])[-1]
    assert whole.tobytes() == np.concatenate(parts).tobytes()


def test_what_is_not_given_is_an_empty_table():
    assert {"trades": 0, "signals": 0, "orders": 0, "fills": 0, "equity": 0} == {
        name: len(columns["source" if "source" in columns else "time"])
        for name, columns in log_tables({}, Words()).items()
    }


def decision(action, side=1, **fields):
    unset = {"threshold": NAN, "value": NAN, "limit": NAN}
    return row(DECISION, ts=60, sym=0, side=side, action=action, **{**unset, **fields})


def test_signals_say_what_was_decided_and_why():
    said = np.concatenate([decision(OPENED), decision(CLOSED, 0), decision(HELD, -1)])
    columns = signal_columns(said, NAMES, SOURCES)
    assert SIGNAL_COLUMNS == tuple(columns)
    assert ["OPENED", "CLOSED", "HELD"] == columns["action"].tolist()
    assert ["long", "close", "short"] == columns["side"].tolist()


def test_signals_name_the_model_that_judged_them_and_what_it_expected():
    said = np.concatenate([decision(OPENED, net_bps=NAN), decision(REFUSED, net_bps=-2.5, model=2)])
    columns = signal_columns(said, NAMES, SOURCES, ("first", "second"))
    assert ["", "second"] == columns["model"].tolist()
    np.testing.assert_equal(columns["net_bps"], [NAN, -2.5])
    older = signal_columns(
        np.zeros(1, [one for one in DECISION.descr if one[0] not in ("net_bps", "model")]), NAMES, SOURCES
    )
    assert [""] == older["model"].tolist()
    np.testing.assert_equal(older["net_bps"], [NAN])


def test_a_refusal_names_rule_value_and_threshold():
    passed = {"strength": 41.26, "threshold": 30.0}
    said = np.concatenate(
        [
            decision(OPENED, **passed),
            decision(REFUSED, **passed, rule=RULE_NAMES.index("max_positions"), value=3.0, limit=3.0),
            decision(CLOSED, rule=TOO_SMALL, value=4.5, limit=5.0),
            decision(HELD),
        ]
    )
    assert [
        "strength=41.3>=30.0",
        "strength=41.3>=30.0;max_positions=3>=3",
        "min_notional=4.5<5",
        "",
    ] == reasons_of(said)


def test_a_model_that_takes_no_trade_refuses_by_a_word_and_any_other_by_its_number():
    assert "expected_net=-6.56286<never" == refusal_text(EXPECTED_NET, -6.56286, math.inf)
    assert "expected_net=-3.2<1.5" == refusal_text(EXPECTED_NET, -3.2, 1.5)
    assert "expected_net=nan<-inf" == refusal_text(EXPECTED_NET, NAN, -math.inf)


def test_a_refusal_says_until_when_it_holds():
    halted = {"rule": RULE_NAMES.index("max_daily_loss"), "value": 0.021, "limit": 0.02}
    said = np.concatenate(
        [
            decision(REFUSED, **halted, until=1_700_006_400_000_000_000),
            decision(REFUSED, **halted, until=NEVER),
            decision(REFUSED, **halted),
        ]
    )
    rule = "max_daily_loss=0.021>=0.02"
    assert [f"{rule};until=2023-11-15T00:00:00.000Z", f"{rule};until=lifted", rule] == reasons_of(said)


def test_what_the_engine_chose_of_an_entry_is_told_with_its_figure():
    chose = {"threshold": 60.0, "strength": 71.0, "kind": POST_ONLY, "stop_rule": BY_FLOOR, "stop_bps": 9.0}
    said = decision(OPENED, **chose, bound=BY_HEAT, notional=1234.5)
    assert ["strength=71.0>=60.0;entry=POST_ONLY;stop_floor=9;max_heat=1234.5"] == reasons_of(said)


def test_a_refusal_for_its_size_names_what_held_it():
    said = decision(REFUSED, rule=TOO_SMALL, value=4.5, limit=5.0, bound=BY_DEPTH)
    assert ["min_notional=4.5<5;held_by=max_depth_share"] == reasons_of(said)


def test_what_is_simply_the_word_of_the_settings_or_the_signal_is_not_repeated():
    said = [
        decision(OPENED, stop_rule=stop, stop_bps=9.0, bound=bound, notional=1.0)
        for stop, bound in ((BY_BPS, BY_RISK), (BY_SIGNAL, BY_FIXED), (0, 0))
    ]
    assert [""] * 3 == reasons_of(np.concatenate(said))
    assert ["stop_atr=9", "stop_liquidation=9"] == reasons_of(
        np.concatenate([decision(OPENED, stop_rule=rule, stop_bps=9.0) for rule in (BY_ATR, BY_LIQUIDATION)])
    )


@pytest.mark.parametrize("rule", range(1, len(RULE_NAMES)))
def test_every_refusal_reads_as_a_value_that_failed_its_limit(rule):
    (text,) = reasons_of(decision(REFUSED, rule=rule, value=1.5, limit=2.0))
    assert text == f"{RULE_NAMES[rule]}=1.5{RULE_SIGNS[rule]}2"


def test_equity_keeps_its_numbers():
    columns = equity_columns(row(EQUITY, ts=60, equity=99.0, realised=-1.0, drawdown=0.01))
    assert EQUITY_COLUMNS == tuple(columns)
    assert [60, 99.0, -1.0, 0.0, 0.01] == [columns[name][0] for name in EQUITY_COLUMNS]


def test_kinds_of_orders_are_named():
    assert "MARKET" == order_columns(row(ORDER, kind=MARKET), NAMES, 0.0, SOURCES)["kind"][0]
