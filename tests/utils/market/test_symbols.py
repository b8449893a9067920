import pytest

from utils.errors import ConfigError
from utils.market.symbols import (
    linear_symbol,
    normalise_symbol,
    parts_of,
    quote_of,
    symbol_of_file,
    timeframe_of_file,
)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTCUSDT", "BTCUSDT"),
        ("btcusdt ", "BTCUSDT"),
        ("BTC/USDT", "BTCUSDT"),
        ("BTC/USDT:USDT", "BTCUSDT"),
        ("BTC/USD:BTC", "BTCUSD"),
        ("BTC-USDT", "BTCUSDT"),
        ("BTC-USDT-SWAP", "BTCUSDT"),
        ("BTC_USDT", "BTCUSDT"),
        ("BTC_USDT_USDT", "BTCUSDT"),
        ("BTCUSDT-LINEAR.BYBIT", "BTCUSDT"),
        ("BTCUSDT-PERP.BINANCE", "BTCUSDT"),
        ("BTCUSDT.P", "BTCUSDT"),
        ("1000PEPE/USDT:USDT", "1000PEPEUSDT"),
        ("XBTUSDTM", "BTCUSDT"),
        ("ETHUSDCM", "ETHUSDC"),
        ("PF_XBTUSD", "BTCUSD"),
        ("PF_ETHUSD", "ETHUSD"),
        ("BTCUSDT_UMCBL", "BTCUSDT"),
        ("BTC_USDC-PERPETUAL", "BTCUSDC"),
    ],
)
def test_every_known_spelling_becomes_the_exchange_id(text, symbol):
    assert symbol == normalise_symbol(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "BTC/", "BTC/USDT:USDT-250328", "BTCUSDT_250328", "1234", "BTC USDT", "BTC/USDT:EUR", "A/B/C"),
        *("BTCUSDT.ANYTHING/../..", "BTCUSDT.", "BTCUSDT..P", "BTCUSDT.P.P", "BTCUSDT.P-Q", "BTC/USDT.P:USDT"),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="BTC/USDT:USDT, seen"):
        normalise_symbol(text)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTCUSDT_20250119_20251031.parquet", "BTCUSDT"),
        ("NEARUSDT_202409.parquet", "NEARUSDT"),
        ("BTC_USDT_USDT-5m-futures.feather", "BTCUSDT"),
        ("BTC_USDT-5m.feather", "BTCUSDT"),
        ("BTCUSDT-1m-2025-02.csv", "BTCUSDT"),
        ("BTC_USDT_1h.csv", "BTCUSDT"),
        ("btcusdt_1h_5year.csv", "BTCUSDT"),
        ("1000PEPEUSDT-1m-2025-02.csv", "1000PEPEUSDT"),
        ("BTCUSDT.csv", "BTCUSDT"),
        ("ETHBTC.csv", "ETHBTC"),
        ("WBTC_USDT_binance.csv", "WBTCUSDT"),
        ("BTCUSDT_binance.csv", "BTCUSDT"),
        ("BTCUSDT-PERP-1h.csv", "BTCUSDT"),
        ("WBTC_x.csv", ""),
        ("BTC_USDT_USDT-8h-funding_rate.feather", "BTCUSDT"),
        ("candles.csv", ""),
        ("my_usdt.csv", ""),
        ("my_data_1m.csv", ""),
        ("1m.csv", ""),
        ("usdt.csv", ""),
        ("", ""),
    ],
)
def test_a_file_name_gives_its_symbol_or_none(name, symbol):
    assert symbol == symbol_of_file(name)


@pytest.mark.parametrize(
    ("name", "tf"),
    [
        ("BTCUSDT-1m-2025-02.csv", "1m"),
        ("BTC_USDT_USDT-5m-futures.feather", "5m"),
        ("BTC_USDT_1h.csv", "1h"),
        ("BTCUSDT_20250119_20251031.parquet", ""),
        ("x-1M.csv", ""),
    ],
)
def test_a_file_name_gives_its_timeframe_or_none(name, tf):
    assert tf == timeframe_of_file(name)


@pytest.mark.parametrize(
    "text",
    [
        "BTCUSDT_CW",
        "BTCUSDT_NEXT_QUARTER",
        "BTCUSD CURRENT_QUARTER",
        "BTC-USD-THIS_WEEK",
        "BTCUSDT_240329",
        "BTC-29MAR24",
        "BTC-USDT-240329",
        "BTCUSDH24",
        "XBTM24",
        "BTC/USDT:USDT-240329",
        "BTCUSDT-3MAY24",
    ],
)
def test_a_dated_contract_is_refused_and_called_so(text):
    with pytest.raises(ConfigError, match="a dated contract, which is another instrument"):
        normalise_symbol(text)


@pytest.mark.parametrize(
    "text",
    [
        "BTCUSD_PERP",
        "BTC/USD:BTC",
        "BTC-USD-SWAP",
        "XBTUSD",
        "PI_XBTUSD",
        "BTCUSD_DMCBL",
        "BTCUSD_CM",
        "BTCUSDM",
        "XBTUSDM",
        "BTC-PERPETUAL",
        "ETHUSD-INVERSE.BYBIT",
        "BTC_USD_BTC",
    ],
)
def test_a_coin_margined_contract_is_refused_and_called_so(text):
    with pytest.raises(ConfigError, match="settled in its coin"):
        linear_symbol(text)


@pytest.mark.parametrize(
    "text",
    [
        "XBTUSDTM",
        "PF_XBTUSD",
        "BTC_USDC-PERPETUAL",
        "BTCUSDT_UMCBL",
        "BTCUSDT",
        "BTC/USDT:USDT",
        "BTC-USDT-SWAP",
        "BTCUSDT-PERP.BINANCE",
        "BTC/USD",
        "ETHBTC",
    ],
)
def test_linear_contracts_and_spot_pairs_are_none(text):
    assert normalise_symbol(text) == linear_symbol(text)


@pytest.mark.parametrize(
    "name",
    [
        "BTCUSDT_240329-1m-2024-01-05.csv",
        "btcusdt_240329.csv",
        "BTC-29MAR24-1m.csv",
        "BTCUSDT-29MAR24.csv",
        "BTC-USDT-240329.csv.gz",
        "BTCUSDH24.parquet",
        "BTCUSD_240628-1h.zip",
        "BTCUSDT_CW-1m.csv",
        "BTC-USDT-NQ.csv",
        "BTCUSDT_NEXT_QUARTER-1m-2024-01.csv",
        "BTCUSD CURRENT_QUARTER.csv",
    ],
)
def test_the_file_of_a_dated_contract_is_refused_by_its_name(name):
    with pytest.raises(ConfigError, match="a dated contract, which is another instrument"):
        symbol_of_file(name)


@pytest.mark.parametrize(
    "name",
    [
        "BTCUSD_DMCBL-1m.csv",
        "BTCUSD_CM.csv",
        "BTCUSDM-1m.csv",
        "BTC-PERPETUAL-1m.csv",
        "BTCUSD_PERP-1m-2024-01.zip",
        "XBTUSD.csv",
        "BTC-USD-SWAP-1m.csv",
        "BTC_USD_BTC-5m-futures.feather",
    ],
)
def test_the_file_of_a_coin_margined_contract_is_refused_by_its_name(name):
    with pytest.raises(ConfigError, match="settled in its coin"):
        symbol_of_file(name)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTCUSDT2024-01-01.csv.gz", "BTCUSDT"),
        ("btcusdt.csv.gz", "BTCUSDT"),
        ("BTCUSDT-1m.json.gz", "BTCUSDT"),
        ("BTCUSDT-1m-2024-01.zip", "BTCUSDT"),
        ("BTCUSDT_240101_240131.csv", "BTCUSDT"),
        ("BTC-USDT-SWAP-1m.csv", "BTCUSDT"),
        ("BTCUSD_1m.csv", "BTCUSD"),
        ("data_29MAR24.csv", ""),
        ("my_cm.csv", ""),
        ("data_inverse.csv", ""),
        ("XBTUSDTM-1m.csv", "BTCUSDT"),
        ("PF_XBTUSD-1m.csv", "BTCUSD"),
        ("BTCUSDT_UMCBL_1m.csv", "BTCUSDT"),
        ("my_240329.csv", ""),
    ],
)
def test_months_and_days_of_data_are_no_days_of_delivery(name, symbol):
    assert symbol == symbol_of_file(name)


def test_a_symbol_is_a_base_and_a_quote():
    assert [("BTC", "USDT"), ("ETH", "BTC"), ("", "")] == [parts_of(name) for name in ("BTCUSDT", "ETHBTC", "BTC")]


@pytest.mark.parametrize(
    ("symbol", "quote"),
    [
        ("BTCUSDT", "USDT"),
        ("BTCUSDC", "USDC"),
        ("BTCUSD", "USD"),
        ("BTCFDUSD", "FDUSD"),
        ("ETHBTC", "BTC"),
        ("WBTCETH", "ETH"),
        ("BTCTRY", "TRY"),
        ("BTCPERP", "USDC"),
        ("USDT", ""),
        ("SPX500", ""),
    ],
)
def test_a_symbol_ends_with_the_currency_it_is_quoted_in(symbol, quote):
    assert quote == quote_of(symbol)
