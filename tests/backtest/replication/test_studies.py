"""Studies: what is known is found again, what is not there is not found, too little is said to be too little."""

import math

import numpy as np
import pytest

from backtest.replication.data import Sample, Sums, Windows
from backtest.replication.statistics import (
    Estimate,
    slope_estimate,
)
from backtest.replication.studies import (
    CLAIMS,
    FAILS,
    HOLDS,
    INCOMPARABLE,
    STUDIES,
    UNDECIDED,
    UNMEASURED,
    Finding,
    betas_of,
    imbalance_study,
    imbalances,
    memory_study,
    micro_study,
    spread_study,
)
from features.microstructure import effective_spread, realised_spread
from features.rows.book import LEVELS
from features.rows.trades import TRADE_EVENT
from features.rows.users import QUOTE_ROW
from ingest.synthetic import START_NS
from utils.rows import NS_PER_MS, NS_PER_S

NONE = Sums(np.empty(0, np.int64), np.empty((0, LEVELS + 3)))


def dice(seed=1):
    return np.random.default_rng(seed)


# --- verdicts


@pytest.mark.parametrize(
    ("name", "value", "low", "high", "verdict"),
    [
        ("OFI R2, 10 s", 0.6, 0.5, 0.7, HOLDS),
        ("OFI R2, 10 s", 0.5, 0.4, 0.6, FAILS),
        ("slope of ln beta on ln depth", -0.8, -1.7, 0.1, UNDECIDED),
        ("slope of ln beta on ln depth", -0.8, -1.2, -0.4, HOLDS),
        ("AUC of imbalance", 0.6, 0.55, 0.65, HOLDS),
        ("AUC of imbalance", 0.5, 0.45, 0.55, UNDECIDED),
        ("AUC of imbalance", 0.4, 0.35, 0.45, FAILS),
        ("MSE of micro-price / mid, 1 s", 0.9, 0.85, 0.95, HOLDS),
        ("MSE of micro-price / mid, 1 s", 1.1, 1.05, 1.15, FAILS),
        ("gamma of signs", 0.5, 0.4, 0.6, HOLDS),
        ("gamma of signs", 0.5, 0.2, 0.6, UNDECIDED),
        ("share of up moves", 0.5, 0.4, 0.6, INCOMPARABLE),
        ("AUC of imbalance", 0.6, math.nan, math.nan, UNDECIDED),
        ("AUC of imbalance", math.nan, math.nan, math.nan, UNMEASURED),
    ],
)
def test_a_verdict_is_where_the_interval_lies(name, value, low, high, verdict):
    assert verdict == Finding(name, "X", "y", Estimate(value, low, high, 10)).verdict


def test_a_figure_that_was_measured_otherwise_is_not_compared():
    seen = Finding("out-of-sample R2, integrated", "X", "y", Estimate(0.3, 0.2, 0.4, 10), alike=False)
    assert (INCOMPARABLE, None) == (seen.verdict, seen.row["paper"])


def test_a_row_of_what_was_not_measured_holds_nulls_and_the_reason():
    row = Finding("OFI R2, 10 s", "X", "y", Estimate(math.nan, math.nan, math.nan, 3), "3 windows").row
    assert [0.65, None, None, None, 3, "3 windows"] == [
        row[key] for key in ("paper", "ours", "low", "high", "n", "note")
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OFI R2, 10 s", "0.65"),
        ("OFI less TFI R2, 10 s", "> 0: 0.33"),
        ("AUC of imbalance", "> 0.5"),
        ("MSE of micro-price / mid, 1 s", "< 1"),
        ("gamma of signs", "0.3 to 0.7"),
        ("share of up moves", "-"),
    ],
)
def test_a_claim_says_its_range_and_its_figure(name, text):
    assert text == CLAIMS[name].text


def test_every_claim_is_asked_for_once():
    assert list(CLAIMS) == [name for names, _ in STUDIES.values() for name in names]


# --- samples whose truth is known


def quotes_of(mid, bid_qty, ask_qty, step_ns=NS_PER_S // 4, tick=0.01):
    """Quotes one tick wide, evenly spaced."""
    rows = np.zeros(len(mid), QUOTE_ROW)
    rows["ts"] = START_NS + np.arange(len(mid)) * step_ns
    rows["bid"], rows["ask"] = mid - 0.5 * tick, mid + 0.5 * tick
    rows["bid_qty"], rows["ask_qty"] = bid_qty, ask_qty
    rows["fresh"][:1] = 1
    return rows


def sample_of(quotes, trades=None):
    return Sample("made", "X", quotes, np.empty(0, TRADE_EVENT) if trades is None else trades, NONE, NONE, 0.01, False)


def leaning_market(slope, n=30_000):
    """Each move goes up with the logistic probability of the imbalance before it."""
    imbalance = dice().uniform(-1.0, 1.0, n)
    up = dice(2).random(n) < 1.0 / (1.0 + np.exp(-slope * imbalance))
    mid = 100.0 + 0.01 * np.concatenate([[0.0], np.cumsum(np.where(up, 1, -1))[:-1]])
    return quotes_of(mid.round(6), 1.0 + imbalance, 1.0 - imbalance)


def test_an_imbalance_that_leads_the_mid_is_found_as_it_is():
    answers, (scores, up, line, _) = imbalance_study(sample_of(leaning_market(2.0)))
    assert 2.0 == pytest.approx(line[1], abs=0.1)
    # of a logistic chance over evenly spread scores, by its definition
    x = np.linspace(-1.0, 1.0, 2001)
    rise = 1.0 / (1.0 + np.exp(-2.0 * x))
    below = np.cumsum(1.0 - rise) - 0.5 * (1.0 - rise)
    truth = (rise @ below) / (rise.sum() * (1.0 - rise).sum())
    seen = answers["AUC of imbalance"].estimate
    assert seen.low < truth < seen.high
    assert len(scores) == len(up) == seen.n


def test_an_imbalance_that_says_nothing_has_an_area_of_a_half():
    seen = imbalance_study(sample_of(leaning_market(0.0)))[0]["AUC of imbalance"].estimate
    assert seen.low < 0.5 < seen.high
    assert 0.5 == pytest.approx(seen.value, abs=0.02)


def test_no_move_is_counted_across_a_reset_and_quotes_of_one_time_are_one():
    rows = leaning_market(1.0, 100)
    whole = len(imbalances(rows)[0])
    rows["fresh"][50] = 1
    assert whole - 1 == len(imbalances(rows)[0])
    rows["ts"][:50] = START_NS
    assert whole - 50 == len(imbalances(rows)[0])


def test_the_micro_price_of_a_leaning_market_is_nearer_than_the_mid_and_of_a_blind_one_is_not():
    found = {slope: micro_study(sample_of(leaning_market(slope)), 1)[0] for slope in (0.0, 3.0)}
    led, blind = (found[slope]["MSE of micro-price / mid, 1 s"].estimate for slope in (3.0, 0.0))
    assert led.high < 1.0
    assert 1.0 == pytest.approx(blind.value, abs=0.02)
    assert blind.high > 0.999


def chain_of(stay, n):
    """Trades whose sides are a chain that stays with this probability: its autocorrelation is (2 stay - 1)^lag."""
    rows = np.zeros(n, TRADE_EVENT)
    rows["ts"] = START_NS + np.arange(n) * 10 * NS_PER_MS
    rows["side"] = np.cumprod(np.where(dice().random(n) < stay, 1, -1))
    rows["price"], rows["qty"] = 100.0, 1.0
    return rows


def test_signs_remember_what_they_were_made_to_and_coins_nothing():
    quotes = leaning_market(0.0, 10)
    kept, coins = (
        memory_study(sample_of(quotes, chain_of(stay, 20_000)))[0]["autocorrelation of signs, lag 1"].estimate
        for stay in (0.7, 0.5)
    )
    assert kept.low < 0.4 < kept.high
    assert coins.low < 0.0 < coins.high


def test_spreads_are_those_of_the_one_definition():
    quotes = leaning_market(1.0, 4000)
    trades = chain_of(0.6, 4000)
    trades["price"] += 0.01 * trades["side"]
    answers, _ = spread_study(sample_of(quotes, trades))
    for offset in (0, 10, 50):
        effective = answers[f"effective spread, bps, offset {offset} ms"].estimate.value
        realised = answers[f"realised spread 5 s, bps, offset {offset} ms"].estimate.value
        assert effective_spread(trades, quotes, offset) == pytest.approx(effective)
        assert realised_spread(trades, quotes, 5.0, offset) == pytest.approx(realised)


def test_betas_that_fall_with_depth_have_a_slope_of_minus_one():
    n = 60 * 30
    depth = np.repeat(np.exp(dice().normal(size=60)), 30)
    flow, noise = dice(2).normal(size=(2, n))
    move = 2.0 * flow / depth + 0.1 * noise / depth
    seen = Windows(1, np.arange(n), move, flow, depth, flow, np.empty((n, LEVELS)))
    betas, depths, dropped = betas_of(seen, 30)
    assert (60, 0) == (len(betas), dropped)
    assert -1.0 == pytest.approx(slope_estimate(np.log(depths), np.log(betas)).value, abs=0.03)


def test_betas_that_are_not_above_0_are_left_out_and_counted():
    flow = dice().normal(size=90)
    move = np.concatenate([flow[:60], -flow[60:]])
    seen = Windows(1, np.arange(90), move, flow, np.ones(90), flow, np.empty((90, LEVELS)))
    betas, _, dropped = betas_of(seen, 30)
    assert ([pytest.approx(1.0), pytest.approx(1.0)], 1) == (betas.tolist(), dropped)


@pytest.mark.parametrize("seed", range(6))
def test_a_beta_of_0_is_left_out_on_whichever_side_it_is_rounded_to(seed):
    there, moves = dice(seed).normal(size=(2, 15))
    flow, move = np.concatenate([there, -there]), np.concatenate([moves, moves])
    betas, _, dropped = betas_of(Windows(1, np.arange(30), move, flow, np.ones(30), flow, np.empty((30, LEVELS))), 30)
    assert ([], 1) == (betas.tolist(), dropped)
