import pytest

from ingest.mock.candles import synthetic_bars
from ingest.mock.events import synthetic_events, synthetic_grid
from ingest.mock.market import open_market
from ingest.mock.settings import PRESETS, QUOTED, MarketParams, priced, quoted
from utils.errors import ConfigError
from utils.rows import NS_PER_S


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: synthetic_bars(0, NS_PER_S, 1), "n of the synthetic market is to be more than 0, and is 0"),
        (lambda: synthetic_bars(1, 0, 1), "tf_ns"),
        (lambda: synthetic_bars(1, NS_PER_S, -1), "a seed is a whole number"),
        (lambda: synthetic_bars(1, NS_PER_S, 1, "penny"), "presets large-tick, btc-like, and not 'penny'"),
        (lambda: synthetic_grid(10, 0, 1), "grid_s"),
        (lambda: synthetic_events(-1, 1), "seconds"),
        (lambda: open_market(1, params=MarketParams(hawkes=(0.5, 0.3, 0.2))), "sum of hawkes"),
        (lambda: open_market(1, params=MarketParams(metaorders=9)), "metaorders is to be 0 to 8"),
        (lambda: open_market(1, params=MarketParams(alpha=0.0)), "alpha"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("BTCUSDT", "BTC"), ("BTCUSD", "BTC"), ("XRPFDUSD", "XRP"), ("MOCKUSDT", None), ("ETHBTC", None)],
)
def test_a_coin_is_known_by_its_base_against_a_dollar(symbol, name):
    assert (QUOTED[name] if name else None) == quoted(symbol)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
@pytest.mark.parametrize("name", QUOTED)
def test_a_priced_preset_keeps_its_levels_nearly_as_far_apart(preset, name):
    found = priced(preset, f"{name}USDT")
    width = found.tick * found.steps / found.start_price
    assert width == pytest.approx(preset.tick / preset.start_price, rel=0.5)
    assert (found.name, found.lots_per_unit, found.event_rate_scale) == (
        preset.name, preset.lots_per_unit, preset.event_rate_scale
    )  # fmt: skip
