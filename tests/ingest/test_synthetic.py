"""The mock market at its door: one seed is one market, and it shows the stylised facts it was built to show.

Bands: Cont, Kukanov, Stoikov 2014; Cont 2001; Bouchaud et al. 2018; Gould, Bonart 2015. The ablations hold each
ingredient to what it is there for.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from ingest.synthetic import (
    START_NS,
    TRADE,
    MarketParams,
    event_blocks,
    synthetic_bars,
    synthetic_events,
    synthetic_grid,
)
from utils.rows import NS_PER_MINUTE, NS_PER_S

HOUR, DAY = 3600, 86_400
SEEDS = tuple(range(1, 9))
SCALES = (1, 10, 60)


def sha(rows):
    return hashlib.sha256(rows.tobytes()).hexdigest()


def test_same_seed_gives_the_same_bytes():
    assert sha(synthetic_bars(50, NS_PER_MINUTE, 7)) == sha(synthetic_bars(50, NS_PER_MINUTE, 7))
    assert sha(synthetic_events(60, 7)) == sha(synthetic_events(60, 7))
    assert sha(synthetic_grid(60, 1, 7)) == sha(synthetic_grid(60, 1, 7))


def test_other_seeds_give_other_markets():
    assert 20 == len({sha(synthetic_bars(5, NS_PER_MINUTE, seed)) for seed in (*range(19), 2**64 - 1)})


def flows(grid, scale):
    """Mid changes (ticks), order-flow and trade imbalance (lots) over `scale` rows of a grid."""
    n = len(grid) // scale * scale
    mid = np.concatenate(([grid["mid"][0]], grid["mid"][:n]))[::scale]
    return np.diff(mid), grid["ofi"][:n].reshape(-1, scale).sum(1), grid["tfi"][:n].reshape(-1, scale).sum(1)


def acf(x, lag):
    x = x - x.mean()
    return float((x[lag:] * x[:-lag]).mean() / (x * x).mean())


def kurtosis(x):
    x = x - x.mean()
    return float((x**4).mean() / (x * x).mean() ** 2)


def r2(x, y):
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def imbalance_auc(grid):
    """Probability that the best-level imbalance ranks an up move of the next mid above a down move."""
    imbalance = (grid["bid_qty"] - grid["ask_qty"]) / (grid["bid_qty"] + grid["ask_qty"])
    move = np.diff(grid["mid"])
    where = np.flatnonzero(move)
    following = np.searchsorted(where, np.arange(len(move)))
    known = following < len(where)
    up = move[where[following[known]]] > 0
    rank = imbalance[:-1][known].argsort().argsort()
    ups, downs = up.sum(), (~up).sum()
    return float((rank[up].sum() - ups * (ups - 1) / 2) / ups / downs)


def facts(grid):
    """The table of stylised facts of one grid of one second."""
    parts = {scale: flows(grid, scale) for scale in SCALES}
    size = np.abs(parts[10][0])
    return {
        **{f"r2_ofi_{k}": r2(d, o) for k, (d, o, _) in parts.items()},
        **{f"r2_tfi_{k}": r2(d, t) for k, (d, _, t) in parts.items()},
        **{f"kurtosis_{k}": kurtosis(d) for k, (d, _, _) in parts.items()},
        **{f"acf_{k}": acf(d, 1) for k, (d, _, _) in parts.items()},
        **{f"sd_{k}": float(d.std() / np.sqrt(k)) for k, (d, _, _) in parts.items()},
        **{f"acf_size_{lag}": acf(size, lag) for lag in (1, 10, 50)},
        "one_tick": float((grid["spread"] == 1).mean()),
        "spread_q99": float(np.quantile(grid["spread"], 0.99)),
        "auc": imbalance_auc(grid),
    }


def median_facts(seconds, seeds, params=None):
    tables = [facts(synthetic_grid(seconds, 1, seed, params=params)) for seed in seeds]
    return {name: float(np.median([table[name] for table in tables])) for name in tables[0]}


def signs(seconds, seed, params=None):
    """Sign of each market order: its trade rows share one time."""
    found, last = [], 0
    for block in event_blocks(seconds, seed, params=params):
        trades = block[block["kind"] == TRADE]
        found.append(trades["side"][np.diff(trades["ts"], prepend=last) != 0])
        last = trades["ts"][-1] if len(trades) else last
    return np.concatenate(found).astype(float)


def sign_memory(seconds, seeds, params=None):
    """Autocorrelation of signs at lags 0 to 500, averaged over seeds."""
    total = np.zeros(501)
    for seed in seeds:
        x = signs(seconds, seed, params)
        x = x - x.mean()
        spectrum = np.fft.rfft(x, 2 * len(x))
        curve = np.fft.irfft(spectrum * spectrum.conj())[:501]
        total += curve / curve[0] / len(seeds)
    return total


def decay_exponent(curve):
    """gamma of C(lag) ~ lag^-gamma, lags 1 to 500."""
    lags = np.unique(np.round(np.logspace(0, np.log10(500), 30)).astype(int))
    lags = lags[curve[lags] > 0]
    return float(-np.polyfit(np.log(lags), np.log(curve[lags]), 1)[0])


BANDS = {
    "r2_ofi_1": (0.1, 0.35),
    "r2_ofi_10": (0.4, 0.65),
    "r2_ofi_60": (0.5, 0.8),
    "kurtosis_60": (3.0, 15.0),
    "acf_size_1": (0.1, 0.35),
    "acf_size_10": (0.07, 0.35),
    "acf_size_50": (0.04, 0.35),
    "acf_1": (-0.16, -0.05),
    "acf_10": (-0.09, 0.03),
    "acf_60": (-0.05, 0.12),
    "sd_10": (0.3, 0.6),
    "one_tick": (0.82, 0.9),
    "spread_q99": (2.0, 4.0),
    "auc": (0.6, 0.75),
}


def check(table, slack=0.0):
    """Every fact in its band, widened at both ends by a fraction of its width."""
    for name, (low, high) in BANDS.items():
        room = slack * (high - low)
        assert low - room <= table[name] <= high + room, (name, table[name])
    for scale in SCALES:
        assert table[f"r2_tfi_{scale}"] < table[f"r2_ofi_{scale}"]
    assert table["kurtosis_1"] > table["kurtosis_10"] > 4.0
    assert table["acf_1"] < table["acf_10"]
    assert 0.7 < table["sd_60"] / table["sd_1"] < 1.1


@pytest.fixture(scope="module")
def usual():
    return median_facts(DAY, SEEDS)


@pytest.fixture(scope="module")
def usual_memory():
    return sign_memory(12 * HOUR, (1, 2))


def test_stylised_facts_are_in_their_bands(usual):
    check(usual)
    assert usual["kurtosis_10"] > usual["kurtosis_60"] > 3.0
    assert usual["acf_size_1"] > usual["acf_size_10"] > usual["acf_size_50"]


def test_signs_of_market_orders_remember(usual_memory):
    assert 0.15 < usual_memory[1] < 0.6
    assert 0.3 < decay_exponent(usual_memory) < 0.75


def test_without_excitement_and_activity_the_size_of_moves_does_not_cluster(usual):
    calm = median_facts(12 * HOUR, (1, 2), MarketParams(hawkes=(0, 0, 0), activity_sd=0.0, base_rate=2.0))
    assert abs(calm["acf_size_10"]) < 0.03
    assert abs(calm["acf_size_50"]) < 0.03
    assert calm["acf_size_1"] < 0.05 < usual["acf_size_1"]
    assert calm["kurtosis_60"] < 4.5


def test_without_metaorders_signs_do_not_remember(usual_memory):
    coins = sign_memory(6 * HOUR, (1, 2), MarketParams(metaorders=0, thin_hit=0.0))
    assert np.abs(coins[1:11]).max() < 0.02
    short = sign_memory(6 * HOUR, (1, 2), MarketParams(metaorders=0))
    assert short[10:101].mean() < 0.25 * usual_memory[10:101].mean()


def test_without_refill_prices_trend():
    """Measured without bursts of activity, which blur autocorrelations."""
    calm = MarketParams(hawkes=(0, 0, 0), activity_sd=0.0, base_rate=2.0)
    walking, trending = (
        [flows(synthetic_grid(DAY, 1, seed, params=params), 60)[0] for seed in range(4)]
        for params in (calm, replace(calm, refill=0.0))
    )
    assert abs(np.mean([acf(d, 1) for d in walking])) < 0.04
    assert 0.05 < np.mean([acf(d, 1) for d in trending]) < 0.2
    five_minutes = [np.mean([d.reshape(-1, 5).sum(1).std() for d in days]) for days in (walking, trending)]
    assert five_minutes[1] > 1.08 * five_minutes[0]


def test_too_much_refill_cuts_the_tie_between_trades_and_price(usual):
    cut = median_facts(DAY, SEEDS[:3], MarketParams(refill=1.0))
    assert cut["r2_tfi_10"] < 0.3 * usual["r2_tfi_10"]
    assert cut["r2_tfi_60"] < 0.2 * usual["r2_tfi_60"]


def test_cancels_at_thin_queues_make_prices_bounce(usual):
    bouncing = median_facts(12 * HOUR, (1, 2), MarketParams(thin_cancel=0.3))
    assert bouncing["acf_1"] < -0.2 < usual["acf_1"]
    assert bouncing["auc"] > 0.74


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 13))
def test_stylised_facts_hold_on_every_day(seed):
    check(facts(synthetic_grid(DAY, 1, seed)), slack=0.5)


@pytest.mark.long
def test_signs_remember_over_days():
    memory = sign_memory(DAY, SEEDS)
    assert 0.15 < memory[1] < 0.6
    assert 0.3 < decay_exponent(memory) < 0.75


@pytest.mark.long
def test_what_the_past_says_of_the_next_half_minute_and_more_is_small():
    """So a pipeline that nets a profit here after costs has a leak."""
    grids = [synthetic_grid(DAY, 1, seed) for seed in range(1, 13)]
    for scale in (30, 60, 300, 900):
        parts = [flows(grid, scale) for grid in grids]
        best = max(np.mean([np.corrcoef(day[i][:-1], day[0][1:])[0, 1] for day in parts]) for i in range(3))
        assert best < 0.12, scale


@pytest.mark.long
def test_a_million_bars_of_one_second():
    bars = synthetic_bars(1_000_000, NS_PER_S, 1)
    assert START_NS + 1_000_000 * NS_PER_S == bars["ts"][-1]
    assert bars["low"].min() > 0.0
