"""A live run by hand: what it is, and moments of which each is known from its number."""

import numpy as np

from tests.market import row
from utils.codes import ENTRY, FILLED, LIMIT, MAKER, OPENED, TAKE_PROFIT, TAKER
from utils.records.moment import Meta, Moment
from utils.rows import BAR, DECISION, EQUITY, FILL, INSTRUMENT, NS_PER_MINUTE, ORDER, SIGNAL, TRADE

START = 1_704_067_200 * 10**9  # 2024-01-01T00:00Z

META = Meta(
    symbols=("BTCUSDT", "ETHUSDT"),
    sources=("binance usdm, live", "binance usdm, live"),
    tf="1m",
    instruments=np.concatenate([row(INSTRUMENT, tick=0.1, maker_bps=float("nan")), row(INSTRUMENT, tick=0.01)]),
    capital=10_000.0,
    latency_ms=50.0,
    settings={"risk": {"take_bps": 30.0}, "simulation": {"initial_capital": 10_000.0}},
    started=START,
    version="0",
)


def net(number: int) -> float:
    """What the trade of a moment earned: no two sums of such numbers round alike."""
    return (number % 7 - 3.1) / 3 + 1e-9 * number


def moment(number: int) -> Moment:
    """Moment `number` of a run: one trade, two fills, an order, a decision, a row of equity; books and state grow."""
    ts = START + number * NS_PER_MINUTE
    sym = number % 2
    trade = row(
        TRADE, entry_no=number, sym=sym, side=1, entry_ts=ts - NS_PER_MINUTE, exit_ts=ts, signal_ts=ts - NS_PER_MINUTE,
        qty=1.0, entry_price=100.0, exit_price=100.0 + net(number), decision_price=100.0, gross_pnl=net(number),
        net_pnl=net(number), exit_reason=TAKE_PROFIT, entry_liquidity=MAKER, exit_liquidity=MAKER,
    )  # fmt: skip
    order = row(ORDER, order_id=number, entry_no=number, sym=sym, side=1, kind=LIMIT, status=FILLED, decision_ts=ts)
    fills = [
        row(
            FILL, fill_id=2 * number + k, order_id=number, entry_no=number, sym=sym, side=1, liquidity=TAKER,
            role=ENTRY, ts=ts, seen_ts=ts, qty=0.5, price=100.0, reference=99.5,
        )
        for k in (1, 0)
    ]  # fmt: skip
    return Moment(
        ts,
        rows={
            "trades": trade,
            "orders": order,
            "fills": np.concatenate(fills),
            "decisions": row(DECISION, ts=ts, sym=sym, side=1, action=OPENED, strength=50.0),
            "equity": row(EQUITY, ts=ts, equity=10_000.0 + number),
        },
        inputs={
            "bars": np.concatenate([row(BAR, ts=ts, sym=one, close=100.0 + number) for one in (0, 1)]),
            "signals": np.full(2, np.nan, SIGNAL),
            "late": np.array([False, number % 5 == 0]),
        },
        state=f"state {number}".encode() * 10,
    )
