"""A market by hand: candles, signals and settings as the few numbers that a test is about.

Bar k of a scenario closes at (k + 1) x TF and so opens at k x TF.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from exec.engine import Engine, JournalRows
from exec.market import Market
from exec.step.quoting import wish
from utils.codes import BOOK, EXIT_NAMES, MARK, MARKET, PLACE, PRINT
from utils.rows import (
    ASKED,
    BAR,
    CONTROLS,
    FUNDING,
    INSTRUMENT,
    INTENT,
    MARKET_EVENT,
    NS_PER_MINUTE,
    PARAMS,
    SIGNAL,
    Rows,
)

TF = NS_PER_MINUTE
NAN = math.nan
CANDLE = ("open", "high", "low", "close", "volume")
FLAT = (100.0, 100.0, 100.0, 100.0)
#: Nothing trades in this bar, whatever its prices say.
EMPTY = (100.0, 102.0, 98.0, 100.0, 0.0)


def row(kind: Any, /, **values: Any) -> Rows:
    """One row of zeros but for these fields."""
    rows = np.zeros(1, kind)
    for name, value in values.items():
        rows[name] = value
    return rows


def told(record: Any) -> dict[str, Any]:
    """What stands in a record besides noughts, by field; None = not a number."""
    values = {name: record[name].item() for name in record.dtype.names}
    return {name: None if value != value else value for name, value in values.items() if value != 0}  # noqa: PLR0124


def smudged(kind: Any) -> Any:
    """A record of which every field was something else before: what is not set shows."""
    return row(kind, **dict.fromkeys(kind.names, 7))[0]


def instrument(**values: Any) -> Rows:
    """A venue without fees: tick 0.1, lot 0.001, leverage up to 10."""
    free = {"tick": 0.1, "per_tick": 10.0, "lot": 0.001, "per_lot": 1000.0, "max_leverage": 10.0, "maintenance": 0.005}
    return row(INSTRUMENT, **{**free, **values})


def params(**values: Any) -> Rows:
    """Market entries of 1,000 quote without friction; take at 100 bps, stop at 50 bps, 20 bars."""
    calm = {
        "tf_ns": TF,
        "max_impact_bps": 1e4,
        "volume_cap": 0.02,
        "take_bps": 100.0,
        "stop_bps": 50.0,
        "horizon": 20.0,
        "entry_kind": MARKET,
        "limit_bars": 3.0,
        "fixed_notional": 1000.0,
        "leverage": 10.0,
        "max_positions": 3,
        "equity_step_ns": 1,
    }
    return row(PARAMS, **{**calm, **values})


#: The controls of a size: NaN in one switches it off.
LIMITS = (
    "risk_fraction", "fixed_notional", "kelly", "max_leverage", "venue_leverage", "max_net_leverage", "max_heat",
    "correlated_room", "max_cluster", "depth", "depth_share",
)  # fmt: skip


def controls(kind: Any = CONTROLS, **values: Any) -> Rows:
    """10,000 quote, nothing at work, 50 bps lost at a stop, and every control off but these."""
    return row(kind, **{**dict.fromkeys(LIMITS, NAN), "equity": 10_000.0, "loss": 0.005, **values})


def question(**values: Any) -> Rows:
    """One ASKED: a long is asked for at 100 with a stop 50 bps away; nothing is at work, nothing else is known."""
    unknown = {"side": 1, "price": 100.0, "stop": 0.005, "spread_bps": NAN, "vol_bps": NAN}
    return controls(ASKED, **{**unknown, **values})


def bars(*candles: tuple[float, ...], sym: int = 0, first: int = 0, last: bool = False) -> Rows:
    """Bars number `first` on of candles (open, high, low, close) with plenty of volume, or a fifth number of it."""
    rows = np.zeros(len(candles), BAR)
    rows["ts"] = TF * np.arange(first + 1, first + len(candles) + 1)
    rows["sym"] = sym
    rows["last"][-1] = last
    rows["taker_buy"] = NAN
    for k, candle in enumerate(candles):
        rows[list(CANDLE)][k] = (*candle[:4], *(candle[4:] or (1e6,)))
    return rows


def one_clock(*parts: Rows) -> Rows:
    """Bars of several symbols in order of close, then symbol."""
    joined = np.concatenate(parts, dtype=BAR)
    return joined[np.lexsort((joined["sym"], joined["ts"]))]


#: Three flat bars of each of two symbols, of which the second may be decided on one bar later.
TWO = Market(
    ("BTCUSDT", "ETHUSDT"),
    ("here", "there"),
    "1m",
    TF,
    one_clock(bars(*[FLAT] * 3), bars(*[FLAT] * 3, sym=1)),
    instrument().repeat(2),
    np.zeros(0, FUNDING),
    (2 * TF, 3 * TF),
    ({"market": "bybit_linear"}, {"market": "binance_usdm"}),
    (),
)


def signals(n: int, said: Mapping[int, float | dict[str, float]]) -> Rows:
    """`n` signal rows, neutral but where something is said: a side, or fields with one."""
    rows = np.full(n, NAN, SIGNAL)
    for k, what in said.items():
        fields = what if isinstance(what, dict) else {"side": what}
        for name, value in {"strength": 80.0, **fields}.items():
            rows[name][k] = value
    return rows


def settlements(*due: tuple[float, float], sym: int = 0) -> Rows:
    """Funding at (time in bars, rate)."""
    rows = np.zeros(len(due), FUNDING)
    rows["ts"], rows["sym"], rows["rate"] = [round(at * TF) for at, _ in due], sym, [rate for _, rate in due]
    return rows


def engine(ins: Rows | None = None, par: Rows | None = None, funding: Rows | None = None, **more: Any) -> Engine:
    """An engine with 10,000 quote."""
    return Engine(instrument() if ins is None else ins, params() if par is None else par, 10_000.0, funding, **more)


def experienced(one: Engine) -> Engine:
    """The engine with 6 round trips and 20 fills behind it, so that no number is another's by chance."""
    one.account[0].entries, one.account[0].fills = 6, 20
    return one


def after(one: Engine, *candles: tuple[float, ...], first: int = 1, last: bool = False) -> Engine:
    """The engine once it has seen these bars, number `first` on, without a signal."""
    rows = bars(*candles, first=first, last=last)
    one.run(rows, signals(len(rows), {}))
    return one


def standing(*wanted: Rows, ins: Rows | None = None, par: Rows | None = None, places: int = 2) -> Engine:
    """An engine with room for orders that stand by themselves, one flat bar behind it, and these asked for since."""
    one = after(experienced(engine(ins, par, standing=places)), FLAT, first=0)
    if wanted:
        one.obey(np.concatenate(wanted, dtype=INTENT))
    return one


def play(
    candles: Rows | tuple[tuple[float, ...], ...],
    said: Mapping[int, float | dict[str, float]],
    ins: Rows | None = None,
    par: Rows | None = None,
    funding: Rows | None = None,
) -> JournalRows:
    """What the engine journals of one scenario; `said` names rows of it."""
    rows = candles if isinstance(candles, np.ndarray) else bars(*candles)
    one = engine(ins, par, funding)
    one.run(rows, signals(len(rows), said))
    return one.drain()


def asked(
    side: int = 1,
    qty: float = 1.0,
    kind: int = MARKET,
    limit: float = NAN,
    *,
    action: int = PLACE,
    at: float = 1.0,
    price: float = 100.0,
    order_id: int = 0,
    sym: int = 0,
    **fields: Any,
) -> Rows:
    """One INTENT: an order that stands by itself is wanted, decided at a time in bars."""
    rows = row(INTENT, **dict.fromkeys(INTENT.names, 7))  # what is not written shows
    wish(rows[0], action, sym, side, kind, qty, limit, round(at * TF), price, order_id)
    for name, value in fields.items():
        rows[name] = value
    return rows


def event(kind: int, at: float, price: float, *, sym: int = 0, **fields: Any) -> Rows:
    """One MARKET_EVENT at a time in bars, known a thousandth of a bar later."""
    known = {"ts": round(at * TF), "ts_recv": round(at * TF) + TF // 1000, "bid": NAN, "ask": NAN}
    return row(MARKET_EVENT, kind=kind, sym=sym, price=price, **{**known, **fields})


def printed(at: float, price: float, qty: float = 1e6, **fields: Any) -> Rows:
    """A print."""
    return event(PRINT, at, price, qty=qty, **fields)


def quoted(at: float, bid: float, ask: float, **fields: Any) -> Rows:
    """A book with these best prices; NaN = that side is empty."""
    return event(BOOK, at, 0.5 * (bid + ask), bid=bid, ask=ask, **fields)


def marked(at: float, price: float, **fields: Any) -> Rows:
    """A mark price."""
    return event(MARK, at, price, **fields)


def only(rows: Rows) -> Any:
    """The one row there is."""
    (one,) = rows
    return one


def ended(trade: Any) -> tuple[str, float, float]:
    """How a trade ended: reason, price, and time in bars."""
    return EXIT_NAMES[trade["exit_reason"]], float(trade["exit_price"]), trade["exit_ts"] / TF


def dice(seed: int) -> Iterator[int]:
    """Numbers from 0 to 9,999 by a fixed rule (Knuth's MMIX generator), the same in every version of everything."""
    state = seed
    while True:
        state = (6364136223846793005 * state + 1442695040888963407) % 2**64
        yield (state >> 33) % 10_000


def wander(n: int, seed: int, sym: int = 0, start: int = 10_000, step: int = 30, holes: int = 0) -> Rows:
    """A random walk of `n` bars on a grid of 0.1 (`start` and `step` in ticks); every twentieth is without volume.

    Where `holes` is above 0, so many bars in a hundred are missing.
    """
    rolled = dice(seed)
    rows = np.zeros(n, BAR)
    price, k, gap = start, 0, 0
    for i in range(n):
        while next(rolled) % 100 < holes and i > 0:
            k, gap = k + 1, gap + 1
        steps = [next(rolled) % (2 * step + 1) - step for _ in range(4)]
        first = max(start // 2, price + steps[0] * (next(rolled) % 5 == 0))
        path = [first, first + steps[1], first + steps[2], first + steps[3]]
        price = path[3]
        volume = 0.0 if next(rolled) % 20 == 0 else float(1 + next(rolled))
        rows["ts"][i], rows["gap"][i] = (k + 1) * TF, gap
        rows[list(CANDLE)][i] = (first / 10, max(path) / 10, min(path) / 10, price / 10, volume)
        k, gap = k + 1, 0
    rows["sym"] = sym
    rows["taker_buy"] = NAN
    rows["last"][-1] = 1
    return rows


def chatter(n: int, seed: int) -> Rows:
    """`n` random signal rows: some sides, some closes, some barriers of their own."""
    rolled = dice(seed)
    rows = np.full(n, NAN, SIGNAL)
    for i in range(n):
        side = next(rolled) % 10
        if side < 3:
            rows["side"][i], rows["strength"][i] = (1.0, -1.0, 0.0)[side], 80.0
            rows["expected_bps"][i] = next(rolled) % 50 / 10
            if next(rolled) % 3 == 0:
                rows["take_bps"][i] = 20.0 + next(rolled) % 200
                rows["horizon"][i] = 1.0 + next(rolled) % 9
        rows["atr"][i] = 1.0 + next(rolled) % 20 / 10
    return rows
