"""One spelling for a symbol, the exchange's own (`BTCUSDT`), from the spellings users know."""

from __future__ import annotations

import re

from utils.errors import ConfigError
from utils.market.timeframes import TIMEFRAMES

#: Quote currencies by which a symbol is known in a file's name.
DOLLARS = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD")
QUOTES = (*DOLLARS, "EUR", "TRY", "BTC", "ETH", "BNB")
_KINDS = ("LINEAR", "INVERSE", "PERP", "SWAP", "SPOT", "FUTURES")


def normalise_symbol(text: str) -> str:
    """The exchange id of a symbol: base and quote joined, upper case.

    Read are `BTCUSDT`, `BTC/USDT`, `BTC/USDT:USDT`, `BTC-USDT`, `BTC-USDT-SWAP`, `BTC_USDT_USDT`,
    `BTCUSDT-LINEAR.BYBIT`, `BTCUSDT.P`. Dated contracts are refused: they are other instruments.

    Raises:
        ConfigError: none of these spellings.
    """
    pair, _, settle = text.strip().upper().split(".", 1)[0].partition(":")
    parts = re.split(r"[/_-]", pair)
    if len(parts) > 1 and parts[-1] in _KINDS:
        parts = parts[:-1]
    if len(parts) == 3 and parts[2] in parts[:2]:
        parts = parts[:2]
    symbol = "".join(parts)
    plain = all(part.isalnum() for part in parts) and len(parts) <= 2 and len(symbol) > 2 and not symbol.isdigit()
    dated = len(parts) == 2 and parts[1].isdigit()
    if not plain or dated or (settle and settle not in parts):
        raise ConfigError(
            f"symbol: expected an exchange id such as BTCUSDT or a pair such as BTC/USDT:USDT, seen {text!r};"
            " name a spot pair or a perpetual contract"
        )
    return symbol


def quote_of(symbol: str) -> str:
    """The currency that a symbol is quoted in (`BTCFDUSD`: `FDUSD`), "" if its end is none that is known.

    Bybit's `BTCPERP` is quoted in USDC.
    """
    if symbol.endswith("PERP"):
        return "USDC"
    return max((quote for quote in QUOTES if _quoted(symbol, (quote,))), key=len, default="")


def symbol_of_file(name: str) -> str:
    """The exchange id a file's name begins with, "" if it does not look like one.

    Known patterns: `BTCUSDT_20250119_20251031.parquet`, `BTCUSDT-1m-2025-02.csv`, `BTC_USDT_1h.csv`,
    `BTC_USDT_USDT-5m-futures.feather`, `btcusdt.csv`. Where more words than the symbol come before timeframe and
    dates, it must be upper case, so that `my_usdt.csv` names none.
    """
    words = re.split(r"[-_. ]", name)
    if len(words) > 1 and words[-1].lower() not in TIMEFRAMES:
        words = words[:-1]  # the extension
    stop = (i for i, word in enumerate(words) if word.lower() in TIMEFRAMES or (word.isdigit() and len(word) >= 4))
    words = words[: next(stop, len(words))]
    if len(words) == 1:
        return words[0].upper() if _quoted(words[0].upper(), QUOTES) else ""
    if not words or not words[0].isupper():
        return ""
    if words[1] in QUOTES and words[0].isalnum():
        return words[0] + words[1]
    return words[0] if _quoted(words[0], DOLLARS) else ""


def _quoted(symbol: str, quotes: tuple[str, ...]) -> bool:
    return symbol.isalnum() and any(symbol.endswith(quote) and len(symbol) > len(quote) for quote in quotes)


def timeframe_of_file(name: str) -> str:
    """The timeframe that stands as a word of its own in a file's name (`BTCUSDT-1m-2025-02.csv`), "" if none does."""
    return next((part for part in re.split(r"[-_. ]", name) if part in TIMEFRAMES), "")
