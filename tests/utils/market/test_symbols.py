import pytest

from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol, quote_of, symbol_of_file, timeframe_of_file


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
    ],
)
def test_every_known_spelling_becomes_the_exchange_id(text, symbol):
    assert symbol == normalise_symbol(text)


@pytest.mark.parametrize(
    "text", ["", "/", "BTC/", "BTC/USDT:USDT-250328", "BTCUSDT_250328", "1234", "BTC USDT", "BTC/USDT:EUR", "A/B/C"]
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
