"""The integer codes inside records, and their one name table each, so that readers of journals need no engine.

Index 0 is "none". Codes are constants of compiled functions, so this file belongs to the cache stamp.
"""

from __future__ import annotations

LIQUIDITY_NAMES = ("", "maker", "taker")
MAKER, TAKER = 1, 2

KIND_NAMES = ("", "MARKET", "LIMIT", "POST_ONLY", "STOP_MARKET")
MARKET, LIMIT, POST_ONLY, STOP_MARKET = range(1, 5)

#: An entry's kind in the settings: which of the three pays most; no order is of it.
AUTO = len(KIND_NAMES)

#: What a breaker does: no entries; or that, and every position is closed at the market.
HALT_NAMES = ("", "block", "flatten")
BLOCK, FLATTEN = 1, 2

#: What set the distance of a stop.
STOP_NAMES = ("", "stop_bps", "signal", "stop_atr", "stop_floor", "stop_liquidation")
BY_BPS, BY_SIGNAL, BY_ATR, BY_FLOOR, BY_LIQUIDATION = range(1, len(STOP_NAMES))

#: What an order is for: to open with brackets around it, to be one of them, to close, or to stand by itself.
ROLE_NAMES = ("", "ENTRY", "TAKE", "STOP", "CLOSE", "QUOTE")
ENTRY, TAKE, STOP, CLOSE, QUOTE = range(1, 6)

#: Where an order stands: no order here; asked for by the signal of this instant and not yet answered; on its way to the
#: market; there; on its way out.
STATE_NAMES = ("", "ASKED", "SENT", "LIVE", "CANCELLING")
FREE, ASKED, SENT, LIVE, CANCELLING = range(5)

#: What an intent wants.
INTENT_NAMES = ("", "PLACE", "REPLACE", "CANCEL")
PLACE, REPLACE, CANCEL = range(1, 4)

#: What happened to a market.
EVENT_NAMES = ("", "PRINT", "BOOK", "MARK")
PRINT, BOOK, MARK = range(1, 4)

STATUS_NAMES = ("", "FILLED", "PARTIAL", "EXPIRED", "CANCELLED", "REJECTED")
FILLED, PARTIAL, EXPIRED, CANCELLED, REJECTED = range(1, 6)

ACTION_NAMES = ("", "OPENED", "FLIPPED", "CLOSED", "HELD", "REFUSED")
OPENED, FLIPPED, CLOSED, HELD, REFUSED = range(1, 6)

#: Why a position ended.
EXIT_NAMES = (
    "",
    "TAKE_PROFIT",
    "STOP_LOSS",
    "TRAILING_STOP",
    "TIME_LIMIT",
    "FLIP",
    "LIQUIDATION",
    "EARLY_STOP",
    "END_OF_DATA",
    "RISK_HALT",
)
(
    TAKE_PROFIT,
    STOP_LOSS,
    TRAILING_STOP,
    TIME_LIMIT,
    FLIP,
    LIQUIDATION,
    EARLY_STOP,
    END_OF_DATA,
    RISK_HALT,
) = range(1, len(EXIT_NAMES))

#: What became of a signal that is followed to its end: how its trade ended, or why there was none. It would have
#: crossed the book and was to be a maker; nobody came within its bars; the bars ended before either.
LABEL_NAMES = (*EXIT_NAMES, "REFUSED", "EXPIRED", "NO_BAR")
NOT_TAKEN, NOT_FILLED, NO_BAR = range(len(EXIT_NAMES), len(LABEL_NAMES))

#: Why an order ended: an exit reason, or one of these.
ORDER_REASONS = (
    *EXIT_NAMES,
    "VOLUME_CAP",
    "MIN_NOTIONAL",
    "WOULD_CROSS",
    "LIMIT_BARS",
    "OPPOSITE_SIGNAL",
    "CLOSE_SIGNAL",
    "ON_REQUEST",
    "RISK",
    "REDUCE_ONLY",
)
(
    VOLUME_CAP,
    MIN_NOTIONAL,
    WOULD_CROSS,
    LIMIT_BARS,
    OPPOSITE_SIGNAL,
    CLOSE_SIGNAL,
    ON_REQUEST,
    RISK,
    REDUCE_ONLY,
) = range(len(EXIT_NAMES), len(ORDER_REASONS))

#: What a size was held to, `risk.controls.allowed_notional`.
BOUND_NAMES = (
    "",
    "risk_per_trade",
    "fixed_notional",
    "kelly",
    "max_leverage",
    "venue_leverage",
    "max_net_leverage",
    "max_heat",
    "max_correlated_heat",
    "max_cluster_risk",
    "max_depth_share",
)
(
    BY_RISK,
    BY_FIXED,
    BY_KELLY,
    BY_LEVERAGE,
    BY_VENUE,
    BY_NET_LEVERAGE,
    BY_HEAT,
    BY_CORRELATED_HEAT,
    BY_CLUSTER,
    BY_DEPTH,
) = range(1, len(BOUND_NAMES))

#: What may refuse an order, and how the value failed its limit: the rules of `risk.guard.RULES` in their order, then
#: what sizing itself may refuse, then what an order may lack.
REFUSALS = (
    ("", ""),
    ("equity", "<="),
    ("max_daily_loss", ">="),
    ("max_losses", ">="),
    ("max_drawdown", ">="),
    ("cooldown_bars", "<"),
    ("max_age_bars", ">"),
    ("max_spread_bps", ">"),
    ("max_volatility_bps", ">"),
    ("drawdown_floor", "<="),
    ("target_volatility_bps", "<="),
    ("max_positions", ">="),
    ("max_leverage", ">="),
    ("max_net_leverage", ">="),
    ("max_heat", ">="),
    ("max_correlated_heat", ">="),
    ("max_cluster_risk", ">="),
    ("kelly", "<="),
    ("break_even", "<"),
    ("expected_net", "<"),
    ("no_edge", "<="),
    ("stop_distance", "<="),
    ("min_notional", "<"),
    ("order_slots", ">="),
    ("unknown_order", "<"),
    ("unsound_order", "<="),
)
RULE_NAMES = tuple(name for name, _ in REFUSALS)
RULE_SIGNS = tuple(sign for _, sign in REFUSALS)
EXPECTED_NET = RULE_NAMES.index("expected_net")
NO_EDGE, NO_STOP, TOO_SMALL, NO_SLOT, NO_ORDER, UNSOUND = range(len(REFUSALS) - 6, len(REFUSALS))
