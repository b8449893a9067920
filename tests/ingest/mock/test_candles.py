import numpy as np
import pytest

from ingest.mock.candles import SyntheticFeed, synthetic_bars
from ingest.mock.events import synthetic_events
from ingest.mock.market import START_NS
from ingest.mock.rows import TRADE
from ingest.mock.settings import PRESETS, QUOTED
from utils.errors import ConfigError
from utils.rows import BAR, NS_PER_MINUTE, NS_PER_S


def candles_from(trades, n, tf_ns, first_price, lots_per_base):
    """Bars of [close - tf, close) made the long way, from trade rows."""
    bars = np.zeros(n, BAR)
    price = first_price
    index = (trades["ts"] - START_NS) // tf_ns
    for i, bar in enumerate(bars):
        mine = trades[index == i]
        bar.ts = START_NS + (i + 1) * tf_ns
        prices = mine["price"] if len(mine) else np.array([price])
        bar.open, bar.high, bar.low, bar.close = prices[0], prices.max(), prices.min(), prices[-1]
        lots = np.rint(mine["qty"] * lots_per_base)
        bar.volume = lots.sum() / lots_per_base
        bar.taker_buy = lots[mine["side"] > 0].sum() / lots_per_base
        price = bar.close
    bars[-1].last = 1
    return bars


@pytest.mark.parametrize(("preset", "seconds", "lots_per_base"), [("large-tick", 900, 1), ("btc-like", 60, 1000)])
@pytest.mark.parametrize("tf_s", [1, 30])
def test_candles_made_in_the_loop_equal_candles_made_from_the_events(preset, seconds, lots_per_base, tf_s):
    rows = synthetic_events(seconds, 6, preset)
    bars = synthetic_bars(seconds // tf_s, tf_s * NS_PER_S, 6, preset)
    trades = rows[rows["kind"] == TRADE]
    expected = candles_from(trades, len(bars), tf_s * NS_PER_S, bars["open"][0], lots_per_base)
    for name in BAR.names:
        assert expected[name].tolist() == bars[name].tolist(), name


@pytest.mark.parametrize("preset", PRESETS)
def test_candles_are_consistent_contiguous_and_on_the_tick(preset):
    tf = 5 * NS_PER_MINUTE if preset == "large-tick" else 15 * NS_PER_S
    bars = synthetic_bars(200, tf, 1, preset)
    assert bars.dtype == BAR
    assert (START_NS + tf * np.arange(1, 201)).tolist() == bars["ts"].tolist()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert ((bars["taker_buy"] >= 0) & (bars["taker_buy"] <= bars["volume"])).all()
    assert [0] * 199 + [1] == bars["last"].tolist()
    assert not bars["gap"].any()
    assert not bars["sym"].any()
    decimals = {0.0001: 4, 1.0: 0}[PRESETS[preset].tick]
    for name in ("open", "high", "low", "close"):
        assert [float(f"{x:.{decimals}f}") for x in bars[name]] == bars[name].tolist()


def test_a_bar_without_trades_is_flat_at_the_last_trade():
    bars = synthetic_bars(2000, NS_PER_S // 10, 1)
    quiet = np.flatnonzero(bars["volume"] == 0.0)[1:]
    assert len(quiet) > 100
    for name in ("open", "high", "low", "close"):
        assert (bars[name][quiet] == bars["close"][quiet - 1]).all()


def test_bars_are_the_same_at_every_length_and_progress_counts_them():
    seen = []
    bars = synthetic_bars(333, NS_PER_S, 8, progress=seen.append)
    longer = synthetic_bars(1000, NS_PER_S, 8)[:333]
    assert 333 == seen[-1]
    assert sorted(set(seen)) == seen
    assert bars[["ts", "open", "high", "low", "close", "volume", "taker_buy"]].tolist() == (
        longer[["ts", "open", "high", "low", "close", "volume", "taker_buy"]].tolist()
    )


def test_five_minutes_of_the_large_tick_preset_move_more_than_the_fees():
    bars = synthetic_bars(600, 5 * NS_PER_MINUTE, 1)
    move = np.std(np.diff(np.log(bars["close"]))) * 1e4
    assert 9.0 < move < 25.0


def test_the_start_is_where_it_was_asked_for():
    bars = synthetic_bars(3, NS_PER_S, 1, start_ns=1_000 * NS_PER_S)
    assert [1001, 1002, 1003] == (bars["ts"] // NS_PER_S).tolist()
    assert abs(bars["open"][0] - PRESETS["large-tick"].start_price) < 0.01


def test_the_feed_hands_out_the_bars_as_candles_that_say_what_they_are():
    candles = SyntheticFeed("MOCKUSDT", "1m", 3, "large-tick").candles(20)
    assert ("MOCKUSDT", "1m", NS_PER_MINUTE) == (candles.symbol, candles.tf, candles.tf_ns)
    assert ("synthetic", "synthetic", ()) == (candles.market, candles.source, candles.gaps)
    assert synthetic_bars(20, NS_PER_MINUTE, 3).tobytes() == candles.rows.tobytes()


def test_the_feed_of_an_unknown_preset_is_refused_by_its_setting():
    with pytest.raises(ConfigError, match=r"simulation\.preset: expected one of large-tick, btc-like, saw 'marsh'"):
        SyntheticFeed("BTCUSDT", "1m", 1, "marsh").candles(1)


@pytest.mark.parametrize(
    ("symbol", "price", "tick"), [("BTCUSDT", 60_000, 0.1), ("ETHUSDC", 3_000, 0.01), ("DOGEUSDT", 0.1, 1e-5)]
)
def test_a_coin_of_the_mock_market_looks_like_its_name(symbol, price, tick):
    rows = SyntheticFeed(symbol, "1m", 3, "large-tick").candles(200).rows
    assert rows["close"] == pytest.approx(price, rel=0.05)
    for name in ("open", "high", "low", "close"):
        ticks = rows[name] / tick
        assert ticks == pytest.approx(np.rint(ticks), abs=1e-6)
    assert (rows["low"] <= np.minimum(rows["open"], rows["close"])).all()
    assert (rows["high"] >= np.maximum(rows["open"], rows["close"])).all()


def test_a_coin_moves_and_trades_as_its_preset_does_whatever_it_costs():
    plain, coin = (SyntheticFeed(name, "5m", 3, "large-tick").candles(200).rows for name in ("MOCKUSDT", "BTCUSDT"))
    lot = QUOTED["BTC"].lot
    assert np.rint(plain["volume"]).tolist() == np.rint(coin["volume"] / lot).tolist()
    # a level is 2 bps wide, and an order may rest anywhere in it
    assert np.abs(np.log(coin["close"] / 60_000.0) - np.log(plain["close"] / 0.5)).max() < 2.2e-4


def test_an_entry_of_a_small_account_stays_far_from_the_cap_on_volume():
    for name, coin in QUOTED.items():
        rows = SyntheticFeed(f"{name}USDT", "5m", 7, "large-tick").candles(300).rows
        assert 0.02 * np.quantile(rows["volume"] * rows["close"], 0.05) > 10_000.0 or coin.price < 100.0
