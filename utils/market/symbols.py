"""One spelling for a symbol, the exchange's own (`BTCUSDT`), from the spellings users know; and what is none of ours.

Dated contracts (`BTCUSDT_240329`, `BTC-29MAR24`, `BTCUSDH24`) and contracts settled in their coin (`BTCUSD_PERP`) are
other instruments than the perpetual or the pair whose letters they share, wherever the name stands: behind a flag, in a
setting, in a file's name or in one of its columns.
"""

from __future__ import annotations

import re
from itertools import pairwise

from utils.errors import ConfigError

#: Quote currencies by which a symbol is known in a file's name.
DOLLARS = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD")
QUOTES = (*DOLLARS, "EUR", "TRY", "BTC", "ETH", "BNB")
#: Words behind a pair that say what kind of contract it is: those settled in their coin, and the others.
_COIN_KINDS = {"INVERSE", "DMCBL", "SDMCBL", "CM", "COINM"}
_KINDS = {"LINEAR", "PERP", "PERPETUAL", "SWAP", "SPOT", "FUTURES", "UMCBL", "SUMCBL", "CMCBL", "UM", *_COIN_KINDS}
#: Words that stand for a day of delivery: this week, next quarter.
_DUE = {"CW", "NW", "CQ", "NQ", "QUARTER", "BIQUARTER"}
_NEXT, _TERMS = {"NEXT", "CURRENT", "THIS", "BI"}, {"WEEK", "MONTH", "QUARTER"}
#: Endings of names of packed files.
PACKED = (".gz", ".zip", ".zst", ".bz2", ".xz", ".7z", ".rar")

_DAY_WORD = re.compile(r"\d{1,2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d{2}")
_SIX = re.compile(r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")  # YYMMDD
_MONTH = re.compile(r"20\d\d(?:0[1-9]|1[0-2])")  # YYYYMM
#: Codes of delivery months behind a quote currency, BTCUSDH24, and BitMEX's behind the coin, XBTM24.
_DELIVERY = re.compile(r"[A-Z0-9]+USD[TC]?[FGHJKMNQUVXZ]\d{2}|XBT[FGHJKMNQUVXZ]\d{2}")
#: Between an archive's symbol and its day, BTCUSDT2024-01-01, nothing stands.
_GLUED = re.compile(r"([A-Z0-9]*[A-Z])(?=20\d\d-\d\d-\d\d)")
#: KuCoin's perpetuals, XBTUSDTM and XBTUSDM; the latter is settled in its coin.
_KUCOIN = re.compile(r"([A-Z0-9]+?)(USD[TC]?)M")
_INSTEAD = "name a spot pair or a perpetual contract"


def normalise_symbol(text: str) -> str:
    """The exchange id of a symbol: base and quote joined, upper case.

    Read are `BTCUSDT`, `BTC/USDT`, `BTC/USDT:USDT`, `BTC-USDT`, `BTC-USDT-SWAP`, `BTC_USDT_USDT`,
    `BTCUSDT-LINEAR.BYBIT`, `BTCUSDT.P`, KuCoin's `XBTUSDTM`, Kraken's `PF_XBTUSD`. Dated contracts are refused: they
    are other instruments.

    Raises:
        ConfigError: none of these spellings.
    """
    name, dot, place = text.strip().upper().partition(".")
    pair, _, settle = name.partition(":")
    parts = re.split(r"[/_-]", pair)
    if len(parts) == 2 and parts[0] == "PF":  # Kraken's linear contracts
        parts = [_bitcoin(parts[1])]
    elif len(parts) == 1 and (kucoin := _KUCOIN.fullmatch(pair)):
        parts = [_bitcoin("".join(kucoin.groups()))]
    if len(parts) > 1 and parts[-1] in _KINDS:
        parts = parts[:-1]
    if len(parts) == 3 and parts[2] in parts[:2]:
        parts = parts[:2]
    symbol = "".join(parts)
    plain = all(part.isalnum() for part in parts) and len(parts) <= 2 and len(symbol) > 2 and not symbol.isdigit()
    if is_dated(text):
        raise ConfigError(
            f"symbol: expected an exchange id such as BTCUSDT or a pair such as BTC/USDT:USDT, seen {text!r}, a dated"
            f" contract, which is another instrument; {_INSTEAD}"
        )
    strange = dot and not (place.isascii() and place.isalnum())  # behind a dot stands one word: P, BYBIT
    if not plain or strange or (settle and settle not in parts):
        raise ConfigError(
            f"symbol: expected an exchange id such as BTCUSDT or a pair such as BTC/USDT:USDT, seen {text!r};"
            f" {_INSTEAD}"
        )
    return symbol


def linear_symbol(text: str) -> str:
    """The exchange id of a symbol whose quantities are in its base currency.

    Raises:
        ConfigError: as `normalise_symbol`; or it is settled in its coin, so that quantities are contracts.
    """
    symbol = normalise_symbol(text)
    if is_coin_margined(text):
        hint = "; Kraken's spot pair of that name is BTCUSD" if symbol == "XBTUSD" else ""
        raise ConfigError(
            f"symbol: expected a spot pair or a linear perpetual, seen {text.strip()!r}, which is settled in its coin:"
            f" its quantities are contracts of dollars; name one such as BTCUSDT{hint}"
        )
    return symbol


def _bitcoin(symbol: str) -> str:
    """A symbol of a venue that calls bitcoin XBT."""
    return "BTC" + symbol.removeprefix("XBT") if symbol.startswith("XBT") else symbol


def is_dated(text: str) -> bool:
    """Whether a symbol is that of a contract with a day of delivery: BTCUSDT_240329, BTC-29MAR24, BTCUSD_CW."""
    first, *rest = re.split(r"[/_: -]", text.strip().upper().split(".", 1)[0])
    if any(word.isdigit() or _DAY_WORD.fullmatch(word) for word in rest) or _DELIVERY.fullmatch(first):
        return True
    return any(word in _DUE for word in rest) or any(one in _NEXT and other in _TERMS for one, other in pairwise(rest))


def is_coin_margined(text: str) -> bool:
    """Whether a symbol says that its contract is settled in the coin: BTCUSD_PERP, BTC/USD:BTC, XBTUSD."""
    pair, _, settle = text.strip().upper().split(".", 1)[0].partition(":")
    words = re.split(r"[/_-]", pair)
    if words[0] in {"PI", "FI"} and len(words) > 1:  # Kraken's inverse contracts
        return True
    if words[0] == "PF" and len(words) > 1:  # its linear ones
        return False
    kucoin = _KUCOIN.fullmatch(pair)
    if kucoin and kucoin[2] == "USD":
        return True
    if len(words) == 2 and words[1] == "PERPETUAL" and not _quoted(words[0], QUOTES):  # Deribit's
        return True
    if len(words) + bool(settle) == 3 and (settle or words[2]) == words[0]:
        return True
    if (len(words) > 1 and words[-1] in _COIN_KINDS) or words == ["XBTUSD"]:
        return True
    return len(words) > 1 and words[-1] in {"PERP", "PERPETUAL", "SWAP"} and "".join(words[:-1]).endswith("USD")


def quote_of(symbol: str) -> str:
    """The currency that a symbol is quoted in (`BTCFDUSD`: `FDUSD`), "" if its end is none that is known.

    Bybit's `BTCPERP` is quoted in USDC.
    """
    if symbol.endswith("PERP"):
        return "USDC"
    return parts_of(symbol)[1]


def symbol_of_file(name: str) -> str:
    """The exchange id a file's name begins with, "" if it does not look like one.

    Known patterns: `BTCUSDT_20250119_20251031.parquet`, `BTCUSDT-1m-2025-02.csv`, `BTC_USDT_1h.csv`,
    `BTC_USDT_USDT-5m-futures.feather`, `BTCUSDT2025-02-01.csv.gz`, `btcusdt.csv`. Where more words than the symbol come
    before timeframe and dates, it must be upper case, so that `my_usdt.csv` names none. Six digits are a month as
    `202502`; as `250228` they are a day of delivery, unless two of them follow each other.

    Raises:
        ConfigError: the name is that of a dated or of a coin-margined contract.
    """
    from utils.market.timeframes import TIMEFRAMES  # brings NumPy, which settings do without

    words = _words(name)
    _refuse_foreign(name, words)
    stop = (i for i, word in enumerate(words) if word.lower() in TIMEFRAMES or (word.isdigit() and len(word) >= 4))
    words = words[: next(stop, len(words))]
    if len(words) == 1 or (words and words[0].isupper() and _KUCOIN.fullmatch(words[0])):
        first = words[0].upper()
        return first if _quoted(first, QUOTES) else normalise_symbol(first) if _KUCOIN.fullmatch(first) else ""
    if len(words) > 1 and words[0] == "PF" and words[1].isupper() and _quoted(words[1], DOLLARS):
        return normalise_symbol("_".join(words[:2]))
    if not words or not words[0].isupper():
        return ""
    if words[1] in QUOTES and words[0].isalnum():
        return words[0] + words[1]
    return words[0] if _quoted(words[0], DOLLARS) else ""


def _words(name: str) -> list[str]:
    """What a file's name says, without its ending."""
    from utils.market.timeframes import TIMEFRAMES

    while name.lower().endswith(PACKED):
        name = name.rpartition(".")[0]
    words = re.split(r"[-_. ]", _GLUED.sub(r"\1-", name, count=1))
    return words[:-1] if len(words) > 1 and words[-1].lower() not in TIMEFRAMES else words


def _refuse_foreign(name: str, words: list[str]) -> None:
    """Refuse the name of an instrument that is none of ours."""
    capitals = words[0].isupper() and len(words) > 1 and not words[1].isdigit()
    words = [word.upper() for word in words]
    if words[0] in {"PI", "FI"} and len(words) > 1 and _quoted(words[1], DOLLARS):
        linear_symbol("_".join(words[:2]))
    symbol, after = words[:1], words[1:]
    for _ in range(2):  # BTC_USDT_USDT
        if after and after[0] in QUOTES and (len(symbol) == 1 or after[0] in symbol):
            symbol, after = [*symbol, after[0]], after[1:]
    day = _day_of_delivery(after)
    if _DELIVERY.fullmatch(words[0]) or (day and (len(symbol) > 1 or _quoted(words[0], QUOTES) or capitals)):
        seen = "_".join([*symbol, day] if day else symbol)
        remedy = (
            f"if {day} is the day of its data, name the file {''.join(symbol[:2])}-20{day[:2]}-{day[2:4]}-{day[4:]}"
        )
        raise ConfigError(
            f"{name}: expected a file of a spot pair or of a perpetual contract, seen {seen}, a dated contract, which"
            f" is another instrument; {remedy if day.isdigit() else 'name another file'}"
        )
    kind = after[:1] if after and after[0] in {"PERP", "PERPETUAL", "SWAP", *_COIN_KINDS} else []
    paired = len(symbol) > 1 or _quoted(words[0], QUOTES)
    certain = len(symbol) > 2 or _quoted(words[0], DOLLARS) or _KUCOIN.fullmatch(words[0])
    if is_coin_margined("_".join([*symbol, *kind])) and ((kind and (paired or capitals)) or certain):
        linear_symbol("_".join([*symbol, *kind]))


def _day_of_delivery(words: list[str]) -> str:
    """The word that is a day of delivery, "" if there is none."""
    word = words[0] if words else ""
    if _DAY_WORD.fullmatch(word) or word in _DUE:
        return word
    if len(words) > 1 and word in _NEXT and words[1] in _TERMS:
        return "_".join(words[:2])
    if not _SIX.fullmatch(word) or _MONTH.fullmatch(word):
        return ""
    follows = words[1] if len(words) > 1 else ""
    return "" if _SIX.fullmatch(follows) else word


def _quoted(symbol: str, quotes: tuple[str, ...]) -> bool:
    return symbol.isalnum() and any(symbol.endswith(quote) and len(symbol) > len(quote) for quote in quotes)


def parts_of(symbol: str) -> tuple[str, str]:
    """Base and quote currency of an exchange id; both "" where its quote is none we know."""
    quote = max((quote for quote in QUOTES if symbol.endswith(quote) and len(symbol) > len(quote)), key=len, default="")
    return (symbol.removesuffix(quote), quote) if quote else ("", "")


def timeframe_of_file(name: str) -> str:
    """The timeframe that stands as a word of its own in a file's name (`BTCUSDT-1m-2025-02.csv`), "" if none does."""
    from utils.market.timeframes import TIMEFRAMES

    return next((part for part in re.split(r"[-_. ]", name) if part in TIMEFRAMES), "")
