"""Instruments as exchanges list them: what ccxt says of a market, believed only where it makes sense."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ingest.rest import checks as check
from ingest.venues.facts import Listing
from utils.errors import ConfigError

#: A market in ccxt's own words.
Market = Mapping[str, Any]


def by_name(markets: Iterable[Market], market_type: str) -> dict[str, Market]:
    """Those of one market type, by exchange id and by base and quote."""
    wanted = [market for market in markets if _is(market, market_type)]
    pairs = {plain(market["base"] + market["quote"]): market for market in wanted}
    # the exchange's own id wins: BTCPERP is also known as BTCUSDC
    return pairs | {plain(market["id"]): market for market in wanted}


def _is(market: Market, market_type: str) -> bool:
    if market_type == "spot":
        return bool(market["spot"])
    return bool(market["swap"] and market["linear"] and market["settle"] == market["quote"])


def unknown_symbol(symbol: str, name: str, known: Collection[str], exchange: str, market_type: str) -> ConfigError:
    """The error of a symbol that an exchange does not list; names the nearest ones that it does."""
    # 1000PEPEUSDT first for PEPEUSDT: no other name is so likely meant
    near = sorted(other for other in known if name in other) + difflib.get_close_matches(name, known, 3)
    near = list(dict.fromkeys(near))[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else "look at the exchange's list"
    kind = "perpetual contract" if market_type == "futures" else "spot pair"
    return ConfigError(f"symbol: expected a {kind} of {exchange}, saw {symbol!r}; {hint}")


def listing_of(market: Market, folder: str, precision_mode: int, *, by_id: bool) -> Listing:
    """What ccxt says of a market.

    Args:
        market: as ccxt has it.
        folder: the data folder's name of exchange and market type.
        precision_mode: how the exchange's precisions are to be read, one of ccxt's constants.
        by_id: call it by the exchange's id, not by base and quote.

    Raises:
        BadVenueData: a number that cannot be one.
    """
    limits, info = market["limits"], market["info"]
    size = check.maybe_positive(market["contractSize"], "contract size") or 1.0
    active = market["active"] is not False
    return Listing(
        symbol=plain(market["id"] if by_id else market["base"] + market["quote"]),
        id=market["id"],
        unified=market["symbol"],
        market=folder,
        tick_size=_step(market["precision"]["price"], precision_mode, "tick"),
        lot_size=_in_base(_step(market["precision"]["amount"], precision_mode, "lot"), size),
        min_qty=_in_base(check.maybe_from_0(limits["amount"]["min"], "least quantity"), size),
        min_notional=check.maybe_from_0(limits["cost"]["min"], "least notional"),
        max_leverage=check.maybe_from_0(limits["leverage"]["max"], "most leverage"),
        contract_size=size,
        status=str(info.get("status") or info.get("state") or ("trading" if active else "not trading")),
        active=active,
        listed_ms=check.time_ms(market["created"], "time of listing") if market["created"] else None,
    )


def _in_base(contracts: float | None, size: float) -> float | None:
    """A quantity of contracts in base currency, without the noise of the product: 3 x 0.1 is 0.3."""
    return contracts if contracts is None or size == 1.0 else float(f"{contracts * size:.15g}")


def _step(precision: object, mode: int, what: str) -> float | None:
    """A precision of ccxt as a step: it is one already, or a number of decimals."""
    import ccxt

    step = check.maybe(precision, what)
    if step is None or mode == ccxt.SIGNIFICANT_DIGITS:
        return None
    return check.maybe_positive(float(f"1e{-int(step)}") if mode == ccxt.DECIMAL_PLACES else step, what)


def plain(name: str) -> str:
    """Letters and digits alone, capital."""
    return "".join(filter(str.isalnum, name)).upper()
