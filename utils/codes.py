"""The integer codes inside records, and their one name table each, so that readers of journals need no engine.

Index 0 is "none". Codes are constants of compiled functions, so this file belongs to the cache stamp.
"""

from __future__ import annotations

LIQUIDITY_NAMES = ("", "maker", "taker")
MAKER, TAKER = 1, 2

KIND_NAMES = ("", "MARKET", "LIMIT", "POST_ONLY", "STOP_MARKET")
MARKET, LIMIT, POST_ONLY, STOP_MARKET = range(1, 5)

#: What an order is for: to open with brackets around it, to be one of them, to close, or to stand by itself.
ROLE_NAMES = ("", "ENTRY", "TAKE", "STOP", "CLOSE", "QUOTE")
ENTRY, TAKE, STOP, CLOSE, QUOTE = range(1, 6)

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
)
TAKE_PROFIT, STOP_LOSS, TRAILING_STOP, TIME_LIMIT, FLIP, LIQUIDATION, EARLY_STOP, END_OF_DATA = range(1, 9)

#: Why an order ended: an exit reason, or one of these.
ORDER_REASONS = (
    *EXIT_NAMES,
    "VOLUME_CAP",
    "MIN_NOTIONAL",
    "WOULD_CROSS",
    "LIMIT_BARS",
    "OPPOSITE_SIGNAL",
    "CLOSE_SIGNAL",
)
VOLUME_CAP, MIN_NOTIONAL, WOULD_CROSS, LIMIT_BARS, OPPOSITE_SIGNAL, CLOSE_SIGNAL = range(
    len(EXIT_NAMES), len(ORDER_REASONS)
)

#: What may refuse an entry, and how the value failed its limit: the rules of `risk.guard.RULES` in their order, then
#: what sizing itself may refuse.
REFUSALS = (
    ("", ""),
    ("equity", "<="),
    ("max_positions", ">="),
    ("max_leverage", ">="),
    ("break_even", "<"),
    ("stop_distance", "<="),
    ("min_notional", "<"),
)
RULE_NAMES = tuple(name for name, _ in REFUSALS)
RULE_SIGNS = tuple(sign for _, sign in REFUSALS)
NO_STOP, TOO_SMALL = len(REFUSALS) - 2, len(REFUSALS) - 1
