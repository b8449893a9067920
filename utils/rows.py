"""The record layouts of the compiled core: each row is written once, as a class, and its dtype is derived from it.

A record is one pointer to compiled code, has named fields, and reads the same uncompiled. `int` fields are int64,
`float` fields float64; times are nanoseconds UTC unless a name says otherwise; prices are quote per base, quantities
base, money quote, `_bps` basis points. NaN in a signal field means "the settings decide". Rows leave no byte between
their fields, so equal rows are equal bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol, get_type_hints

import numpy as np
from numpy.typing import NDArray

#: Integers of 8, 16 and 32 bits, where a row has to be small.
Byte = Annotated[int, 8]
Short = Annotated[int, 16]
Word = Annotated[int, 32]

#: A structured array of one of the layouts below.
Rows = NDArray[Any]
#: Price and quantity of one level of a book.
Level = tuple[float, float]


def layout(*fields: tuple[Any, ...]) -> np.dtype[Any]:
    """A record dtype with attribute access; refuses field names that NumPy itself owns (`take`, `fill`, `min` ...).

    Raises:
        ValueError: a field name would be hidden by an attribute of `np.record`.
    """
    hidden = {field[0] for field in fields} & set(dir(np.record))
    if hidden:
        raise ValueError(f"field names hidden by numpy: {sorted(hidden)}; choose others")
    return np.dtype((np.record, np.dtype(list(fields), align=True)))


def layout_of(row: type) -> np.dtype[Any]:
    """The dtype of a row class: its annotations in order, `int` as int64, `float` as float64, others as annotated.

    What a class adds to another stands before what it has of it: were it behind, Numba would take the one record for
    the other, and warn that it does.
    """
    kinds = {int: np.int64, float: np.float64, Byte: np.int8, Short: np.int16, Word: np.int32}
    hints = get_type_hints(row, include_extras=True)
    return layout(*((name, kinds[hints[name]]) for name in {**dict.fromkeys(row.__annotations__), **hints}))


class BarRow(Protocol):
    """One closed candle as the engine eats it: 64 bytes, a cache line, because a run is as fast as its rows arrive."""

    ts: int  # close time, ns
    sym: Short  # index of the symbol, in order of name
    last: Short  # 1 = known to be the symbol's last bar (END_OF_DATA)
    gap: Word  # bars missing in the file between the previous row of this symbol and this one
    open: float
    high: float
    low: float
    close: float
    volume: float  # base
    taker_buy: float  # base bought by takers; NaN = the venue does not say


class SignalRow(Protocol):
    """What the strategy wants at a bar's close."""

    side: float  # +1, -1, 0 = close, NaN = nothing
    strength: float  # 0-100
    threshold: float  # strength that was asked for at this bar; NaN = none
    p_win: float  # 0-1; NaN = not estimated
    expected_bps: float  # before costs; NaN = not estimated
    take_bps: float
    stop_bps: float
    horizon: float  # bars
    atr: float  # quote; average true range at this close, for stops and trails in ATR units; NaN = warming up
    vol_bps: float  # volatility of one bar at this close, bps; NaN = not known
    net_bps: float  # what a model expects after costs; NaN = it knows nothing, or there is none
    least_bps: float  # from which the model takes a trade, bps; NaN = no model was asked
    model: float  # which of the run's models was asked, from 1 on; NaN = none


class FundingRow(Protocol):
    """One funding settlement."""

    ts: int
    sym: int
    rate: float  # fraction of notional per settlement; positive = longs pay


class InstrumentRow(Protocol):
    """What the venue allows and charges for one symbol."""

    tick: float  # quote
    per_tick: float  # 1 / tick where that is a whole number, else 0: then prices are k * tick
    lot: float  # base
    per_lot: float  # likewise 1 / lot
    min_notional: float  # quote
    maker_bps: float
    taker_bps: float
    max_leverage: float  # notional / equity, the venue's limit for this symbol
    maintenance: float  # maintenance margin, fraction of notional


class ParamsRow(Protocol):
    """Everything the compiled step may be told; one record per run, so a sweep is an array of these."""

    tf_ns: int  # bar length
    half_spread_bps: float
    slippage_bps: float
    impact: float  # Y of Y * sigma * sqrt(qty / volume), dimensionless
    max_impact_bps: float  # most that half spread, slippage and impact take together
    volume_cap: float  # fraction of a bar's volume one entry may take
    take_bps: float
    stop_bps: float
    horizon: float  # bars
    stop_in_atr: int  # 1 = stop distance is stop_atr * ATR
    stop_atr: float  # multiples of ATR
    trail_bps: float  # 0 = off
    trail_atr: float  # multiples of ATR; 0 = off
    chandelier: int  # 1 = the trail follows the ATR of each bar, 0 = that of the entry
    stop_floor: float  # least ATR stop, multiples of spread plus slippage; 0 = off
    stop_liquidation: float  # the stop is at most the way to liquidation over this; 0 = off
    entry_kind: int  # MARKET, LIMIT, POST_ONLY, or AUTO: whichever pays most
    limit_offset_bps: float  # distance of a resting entry from the deciding close, away from the market
    limit_bars: float  # bars a resting entry waits before it expires
    risk_fraction: float  # equity lost at the stop, fraction
    fixed_notional: float  # quote per entry; 0 = size by risk
    leverage: float  # gross notional / equity, cap over the account
    max_positions: int
    veto_break_even: int  # 1 = refuse entries whose p_win is under break-even
    limits: int  # 1 = the limits below are asked and the breakers watch; each that is 0 is off
    max_risk: float  # equity lost at the stop of one entry, fraction
    kelly: float  # share of what Kelly's rule allows, where the signal has a win probability
    max_net: float  # notional, longs less shorts, / equity
    max_heat: float  # equity lost if all stops were hit, fraction
    max_correlated: float  # likewise, root of h' C h
    max_cluster: float  # heat of positions that move together, fraction
    cluster_rho: float  # correlation from which they do
    rho_floor: float  # least correlation of two positions of one direction
    rho_weight: float  # weight of the newest bar in a correlation
    depth_share: float  # of the depth within 5 bps that one entry may take
    target_vol_bps: float  # volatility of a bar up to which an entry keeps its size
    equity_floor: float  # share of the peak that is never to be lost
    max_daily: float  # loss of a UTC day that blocks entries, fraction of the equity at its start
    daily_action: int  # BLOCK or FLATTEN
    max_losses: float  # trades lost in a row that block entries
    losses_ns: int  # for so long
    max_drawdown: float  # fraction below the peak that blocks entries
    drawdown_action: int
    drawdown_ns: int  # for so long; 0 = until somebody lifts it
    cooldown_ns: int  # no entry of a symbol so long after its stop; 0 = off
    max_age_ns: float  # age of a mark that equity, or the entry, hangs on
    max_spread_bps: float  # of a book, where one is known
    max_vol_bps: float  # volatility of one bar
    nan_refuses: int  # 1 = a gate without its input refuses (live); 0 = it passes (bar simulation)
    equity_step_ns: int  # at most one equity row per this much time


class ControlsRow(Protocol):
    """What sizing knows when an entry is asked for; NaN in a limit = that control is off."""

    equity: float  # marked, quote
    loss: float  # lost at the stop with costs, fraction of the notional
    risk_fraction: float  # equity lost at the stop, fraction
    fixed_notional: float  # quote, in the place of risk_fraction; NaN = size by risk
    kelly: float  # equity lost at the stop that Kelly's rule allows, fraction
    gross: float  # notional at work, quote
    max_leverage: float  # gross notional / equity
    venue_leverage: float  # the venue's limit for the symbol
    net: float  # notional at work in the direction of the entry, less that against it, quote
    max_net_leverage: float
    heat: float  # equity lost if all stops were hit now, fraction
    max_heat: float
    correlated_room: float  # heat that the correlated limit leaves, fraction
    cluster: float  # heat of positions that move with the entry, fraction
    max_cluster: float
    depth: float  # quote resting within 5 bps on the side that the entry would take
    depth_share: float  # of it that one entry may take, fraction


class AskedRow(ControlsRow, Protocol):
    """What the rules are told when an entry is asked for, and, with it, what its size is held to."""

    ts: int  # now, ns
    side: int  # +1 long, -1 short
    price: float  # quote
    stop: float  # distance, fraction of the price
    stop_rule: int  # what set it, `STOP_NAMES`
    count: int  # positions and waiting entries that count
    variance: float  # h' C h of what is at work, fraction squared
    covariance: float  # of the entry with it, fraction
    drawdown: float  # below the highest equity, fraction
    age_ns: float  # of the oldest mark that equity, or this entry, hangs on
    spread_bps: float  # of the symbol's book; NaN = none is known
    vol_bps: float  # of one bar; NaN = not known
    cool_until: int  # the symbol rests until then after a stop; 0 = it does not


class AccountRow(Protocol):
    """One account: money, counters, and where the next journal row goes."""

    initial: float  # quote
    realised: float  # sum of net pnl of closed trades
    open_pnl: float  # open positions at their last close, less fees and funding already paid on them
    equity: float  # initial + realised + open_pnl
    peak: float  # highest equity seen
    high: float  # highest equity since a drawdown halt was lifted, or the start
    day_end: int  # end of the UTC day at hand, ns; 0 = none has begun
    day_equity: float  # when it began
    losses: int  # trades lost in a row since a win, or a halt
    daily_until: int  # entries are blocked until then, ns; 0 = they are not
    daily_saw: float  # what tripped it, fraction
    losses_until: int
    losses_saw: float  # trades
    drawdown_until: int
    drawdown_saw: float  # fraction
    halts: int  # breakers tripped so far
    entries: int  # positions opened so far: the entry order of trades
    orders: int  # orders numbered so far: order ids
    fills: int  # fills so far: fill ids
    ambiguous: int  # bars that touched stop and take of an open position
    capped: int  # prices of market orders that `max_impact_bps` held
    held_bars: int  # bars in which a position was open
    equity_ts: int  # time of the last equity row
    slots: int  # order slots a symbol
    refused: int  # intents of a quoting step that were not carried out
    n_trades: int  # rows filled in the arrays handed in; the caller flushes and resets
    n_orders: int
    n_fills: int
    n_decisions: int
    n_equity: int
    keep_trades: int  # 1 = rows are written, and a full array waits for the caller; 0 = nobody keeps them, none is
    keep_orders: int
    keep_fills: int
    keep_decisions: int
    keep_equity: int


class PositionRow(Protocol):
    """One symbol's open position: what was bought and sold of it so far, and what is left; its orders are slots."""

    qty: float  # signed base; 0 = flat
    side: int  # +1 long, -1 short, 0 flat
    entry_no: int
    entry_ts: int
    signal_ts: int  # when the order that opened it was decided
    decision_price: float  # close or mid at signal_ts
    entered: float  # base, all entry fills together
    entry_price: float  # their mean by quantity
    basis: float  # mean price of what is held
    exited: float  # base sold again so far
    exit_price: float  # mean by quantity
    share: float  # quote realised by what was exited, before fees and funding
    first_stop: float  # as set at entry; NaN = none was
    take_price: float  # likewise
    liq: float  # price at which the venue takes over
    bankrupt: float  # price at which the margin is gone
    entry_liquidity: int  # MAKER, or TAKER if any fill was
    exit_liquidity: int  # likewise
    inside: int  # 1 = filled inside the current bar: no take in it
    bars: int  # bars it has outlived, the entry bar included
    horizon: float  # bars
    best: float  # most favourable price shown so far
    trail: float  # distance of the trailing stop, quote; 0 = off
    atr: float  # quote; what a chandelier measures with
    cool_until: int  # no entry until then, after a stop; 0 = any time
    spread_bps: float  # of the last book; NaN = none was seen
    depth: float  # quote within 5 bps of its mid, the thinner side; NaN = not known
    heat: float  # signed by side, fraction of equity; as of the last question for an entry
    close: float  # of the last bar, for correlations; 0 = none yet
    moved: float  # its log return, if the bar before it closed one bar earlier; NaN = it did not
    fees: float  # quote paid so far
    funding: float  # quote paid so far
    slip_bps: float  # entry leg, bps of decision_price
    exit_slip_bps: float  # exit leg
    gaps: int  # bars missing from the file while open
    mark: float  # last close, print, mid or mark price
    mark_ts: int
    bar_ts: int  # last close
    met_ts: int  # last print or book: what came so lately is not told again by a candle
    floor: float  # a bar that stays above it and below `ceiling` touches none of its levels
    ceiling: float
    waiting: int  # orders of the symbol in the market, brackets left out
    # best prices of the book that its orders are meeting; 0 = no book, or an empty side
    bid: float
    ask: float
    # funding settlements of this symbol still to come
    f_next: int
    f_end: int


class OrderSlotRow(Protocol):
    """One order that has not ended: a place in a symbol's row of slots, free when `state` is FREE.

    The first four places belong to the roles ENTRY, TAKE, STOP and CLOSE, those behind them to orders that stand by
    themselves. What ends a position (TAKE, STOP, CLOSE) takes its number when it does: those that never act have none.
    """

    id: int
    state: int
    side: int  # +1 buys, -1 sells
    kind: int
    role: int
    reduce_only: int
    reason: int  # why it was sent: an exit reason, 0 for an entry
    qty: float  # base
    filled: float  # of it
    leaves: float  # of it, still to be filled
    limit: float  # NaN = none
    trigger: float  # NaN = none
    ahead: float  # base in front of it at its price; NaN = unknown, as in bars
    decision_ts: int
    decision_price: float  # close or mid
    arrival_ts: int  # 0 = not yet
    arrival_price: float  # mid, or the open of the first bar that it met; NaN = not yet
    aimed: float  # price that its last fill or rejection aimed at; NaN = neither
    fill_price: float  # mean by quantity
    fees: float  # quote
    spread_cost: float  # quote: half the spread, of what took
    impact_cost: float  # quote: what it paid beyond that
    take_bps: float  # brackets of the position that it opens; NaN = none
    stop: float  # distance, fraction of the entry price; NaN = none
    trail: float  # quote; 0 = none
    horizon: float  # bars; inf = none
    patience: float  # bars it may wait; inf = until cancelled
    chase: float  # bps left of its edge when its wait is over, exit's costs off: if they pay it crosses; NaN = never
    waited: int  # bars it has been in the market


class IntentRow(Protocol):
    """What is wanted of one order: written by whoever decides, read by `exec.step.orders.carry_out` alone."""

    action: int  # PLACE, REPLACE or CANCEL
    order_id: int  # of REPLACE and CANCEL
    sym: Short
    side: Byte
    kind: Byte
    role: Byte
    reduce_only: Byte
    reason: Byte
    rule: Byte  # answer: what refused it; 0 = carried out, and `order_id` is the order's
    saw: float  # answer: what the rule saw
    allowed: float  # answer: what it allows
    ts: int
    price: float  # close or mid at which it is decided
    qty: float
    limit: float
    trigger: float
    take_bps: float
    stop: float
    trail: float
    horizon: float
    patience: float
    chase: float


class MarketEventRow(Protocol):
    """Something that happened to a market between bars."""

    ts: int
    ts_recv: int
    sym: Short
    kind: Byte  # PRINT, BOOK or MARK
    side: Byte  # of a print: +1 a buyer took, -1 a seller
    last: Word  # 1 = known to be the symbol's last
    price: float  # of the print, the mark, or the mid
    qty: float  # base, of a print
    bid: float  # of a book; NaN = none
    ask: float


class TradeRow(Protocol):
    """One closed round trip."""

    entry_no: int
    sym: Short
    side: Byte
    entry_liquidity: Byte
    gap_bars: Word
    exit_liquidity: Word
    exit_reason: Word
    signal_ts: int
    entry_ts: int
    exit_ts: int
    qty: float
    decision_price: float
    entry_price: float
    exit_price: float
    stop_price: float
    take_price: float
    gross_pnl: float
    fees: float
    funding: float
    net_pnl: float
    slippage_bps: float


class OrderRow(Protocol):
    """One order, written when it ends."""

    order_id: int
    entry_no: int  # 0 = never became a position
    sym: Short
    side: Byte
    kind: Byte
    status: Short
    reason: Byte
    role: Byte
    decision_ts: int
    arrival_ts: int  # 0 = it never met a market
    end_ts: int
    qty: float
    filled_qty: float
    decision_price: float
    arrival_price: float  # price aimed at
    mid: float  # when it arrived (of bars: the open); NaN = it never did
    fill_price: float
    end_price: float
    fees: float
    spread_cost: float  # quote: half the spread, of what took
    impact_cost: float  # quote: slippage and impact, what it paid beyond that


class FillRow(Protocol):
    """What one order traded at one moment: written by matching, read by the ledger and by the journal."""

    fill_id: int
    order_id: int
    entry_no: int  # the trade it belongs to
    sym: Short
    side: Byte  # of the order: +1 bought, -1 sold
    liquidity: Byte  # MAKER or TAKER
    role: Word  # of the order
    ts: int  # when it traded, exchange time
    seen_ts: int  # when we could know
    qty: float  # base, above 0
    price: float
    fee: float  # quote; below 0 = rebate
    reference: float  # price aimed at: an open, a level, a mid


class DecisionRow(Protocol):
    """What the engine answered to a signal."""

    ts: int
    sym: Short
    side: Byte
    action: Byte
    rule: Word  # 0 = none; else the rule that refused
    kind: Short  # of the entry, where the engine chose it; 0 = the settings did
    stop_rule: Short  # what set the stop, `STOP_NAMES`
    bound: Short  # what held the size, `BOUND_NAMES`
    model: Short  # which of the run's models was asked, from 1 on; 0 = none
    stop_bps: float  # distance of the stop
    notional: float  # what was allowed, quote
    until: int  # a refusal holds until then, ns; 0 = it does not say
    strength: float
    threshold: float
    p_win: float
    expected_bps: float
    net_bps: float
    value: float  # what the rule saw
    limit: float  # what it allows


class EquityRow(Protocol):
    """The account at a bar's close."""

    ts: int
    equity: float
    realised: float
    open_pnl: float
    drawdown: float  # fraction below the peak, >= 0


BAR = layout_of(BarRow)
SIGNAL = layout_of(SignalRow)
FUNDING = layout_of(FundingRow)
INSTRUMENT = layout_of(InstrumentRow)
PARAMS = layout_of(ParamsRow)
CONTROLS = layout_of(ControlsRow)
ASKED = layout_of(AskedRow)
ACCOUNT = layout_of(AccountRow)
POSITION = layout_of(PositionRow)
ORDER_SLOT = layout_of(OrderSlotRow)
INTENT = layout_of(IntentRow)
MARKET_EVENT = layout_of(MarketEventRow)
TRADE = layout_of(TradeRow)
ORDER = layout_of(OrderRow)
FILL = layout_of(FillRow)
DECISION = layout_of(DecisionRow)
EQUITY = layout_of(EquityRow)

# Units of time and of prices, for everybody.
NS_PER_MS = 1_000_000
NS_PER_S = 1_000 * NS_PER_MS
NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_HOUR = 60 * NS_PER_MINUTE
NS_PER_DAY = 24 * NS_PER_HOUR
#: A time that no run reaches, ns.
NEVER = 2**63 - 1
MS_PER_MINUTE = 60_000
MS_PER_HOUR = 60 * MS_PER_MINUTE
MS_PER_DAY = 24 * MS_PER_HOUR
MS_PER_WEEK = 7 * MS_PER_DAY
S_PER_HOUR = 3_600
S_PER_DAY = 24 * S_PER_HOUR
BPS = 1e-4
#: A correlation, or a slope that has no unit, nearer to 0 than this is 0: its sign is that of a rounding, and hangs on
#: the processor.
ROUNDING = 1e-12
