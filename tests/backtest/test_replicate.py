"""Replications: what is known is found again, what is not there is not found, too little is said to be too little."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, norm

from backtest.replicate import main
from backtest.replication import data as replicate_data
from backtest.replication.data import MOCK, Collector, Sample, Sums, Windows, mock_events, mock_sample, summed, windows
from backtest.replication.statistics import (
    CLASSES,
    Estimate,
    auc,
    classed,
    fitted_line,
    logistic,
    moments,
    r_squared,
    ratio,
    resampled,
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
    measure,
    memory_study,
    micro_study,
    spread_study,
)
from features.microstructure import effective_spread, multi_level_ofi, realised_spread
from features.rows.book import LEVELS
from features.rows.maker import rows_of
from features.rows.sources import Source
from features.rows.trades import TRADE_EVENT
from features.rows.users import QUOTE_ROW
from ingest.synthetic import PRESETS, START_NS, event_blocks, synthetic_grid
from tests.ingest.tapes.test_check import tape
from tests.ingest.tapes.test_play import bybit_book, diff, enveloped
from tests.places import RECORDINGS, ROOT
from utils.rows import NS_PER_MS, NS_PER_S
from utils.types import BookDelta, BookInvalid, BookSnapshot, Quote, Trade

SMALL = RECORDINGS / "bybit_v5" / "linear_BTC_ETH_SOL_DOGE_20260809T2127_42s.jsonl.zst"
SHORT = RECORDINGS / "binance_usdm" / "SUSHI_AKRO_KEEP_CTK_20210722T2225_30s.jsonl.zst"
NONE = Sums(np.empty(0, np.int64), np.empty((0, LEVELS + 3)))


def dice(seed=1):
    return np.random.default_rng(seed)


def deaf(_):
    """Nobody wants to know how far we are."""


def named(one):
    return {finding.name: finding for finding in one.findings}


# --- statistics


def test_r_squared_is_the_square_of_the_correlation():
    x, y = dice().normal(size=(2, 300))
    assert np.corrcoef(x, y + x)[0, 1] ** 2 == pytest.approx(float(r_squared(moments(x, y + x).sum(axis=0))))


def test_a_known_share_of_variance_lies_in_its_interval():
    x, noise = dice().normal(size=(2, 5000))
    seen = resampled(moments(x, 3.0 * x + 3.0 * math.sqrt(2.0 / 3.0) * noise), r_squared)
    assert 0.6 == pytest.approx(seen.value, abs=0.02)
    assert seen.low < 0.6 < seen.high


def test_flow_that_says_nothing_explains_nothing():
    x, y = dice().normal(size=(2, 2000))
    seen = resampled(moments(x, y), r_squared)
    assert seen.high < 0.02


def test_what_does_not_vary_has_no_share_of_variance():
    assert math.isnan(float(r_squared(moments(np.ones(50), dice().normal(size=50)).sum(axis=0))))
    assert math.isnan(float(ratio(np.array([1.0, 0.0]))))


def test_the_interval_of_a_mean_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(60):
        x = dice(seed).normal(size=300)
        seen = resampled(np.column_stack([x, np.ones(300)]), ratio)
        held += seen.low < 0.0 < seen.high
    assert 51 <= held


def test_what_hangs_together_has_a_wider_interval_in_blocks():
    x = np.convolve(dice().normal(size=2000), np.ones(10), "valid")
    parts = np.column_stack([x, np.ones(len(x))])
    alone, together = resampled(parts, ratio, block=1), resampled(parts, ratio, block=40)
    assert together.high - together.low > 2.0 * (alone.high - alone.low)


def test_the_same_numbers_give_the_same_interval_and_too_few_give_none():
    parts = moments(*dice().normal(size=(2, 100)))
    assert resampled(parts, r_squared) == resampled(parts, r_squared)
    assert math.isnan(resampled(parts[:1], r_squared).low)


def test_a_slope_and_its_interval_are_those_of_scipy():
    x, noise = dice().normal(size=(2, 20))
    theirs, ours = linregress(x, noise - x), slope_estimate(x, noise - x)
    assert theirs.slope == pytest.approx(ours.value)
    width = 2.10092204 * theirs.stderr  # of Student's t, 18 degrees of freedom
    assert (theirs.slope - width, theirs.slope + width) == pytest.approx((ours.low, ours.high))
    assert math.isnan(slope_estimate(np.ones(5), x[:5]).value)


def test_the_area_under_the_curve_is_that_of_two_normal_classes():
    up = dice(5).random(20_000) < 0.4
    scores = dice(6).normal(size=20_000) + up
    seen = resampled(classed(scores, up), auc, n=len(up))
    assert norm.cdf(1.0 / math.sqrt(2.0)) == pytest.approx(seen.value, abs=0.01)
    assert seen.low < norm.cdf(1.0 / math.sqrt(2.0)) < seen.high
    assert 20_000 == seen.n


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
@settings(max_examples=40)
def test_few_scores_have_the_exact_area_and_the_other_side_has_the_rest(pairs):
    scores, up = np.array([pair[0] for pair in pairs], float), np.array([pair[1] for pair in pairs])
    seen = float(auc(classed(scores, up).sum(axis=0)))
    if up.all() or not up.any():
        assert math.isnan(seen)
        return
    better = np.sign(scores[up][:, None] - scores[~up][None, :])
    assert (0.5 * (1.0 + better)).mean() == pytest.approx(seen)
    assert 1.0 - seen == pytest.approx(float(auc(classed(scores, ~up).sum(axis=0))))


def test_every_observation_is_in_one_class():
    parts = classed(dice().normal(size=1234), dice(2).random(1234) < 0.5)
    assert (500, 2 * CLASSES) == parts.shape
    assert 1234 == parts.sum()


def test_a_logistic_line_is_found_and_a_clean_cut_has_none():
    x = dice().uniform(-1.0, 1.0, 40_000)
    up = dice(2).random(40_000) < 1.0 / (1.0 + np.exp(-0.3 - 1.7 * x))
    assert (0.3, 1.7) == pytest.approx(logistic(x, up), abs=0.06)
    assert math.isnan(logistic(x, x > 0.0)[1])


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


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0 / 3.0, 1e9 / 7.0])
def test_a_line_on_what_does_not_vary_has_no_slope(value):
    assert all(math.isnan(found) for found in fitted_line(np.full(30, value), np.arange(30.0)))


# --- from events to samples


@pytest.fixture(scope="module")
def events():
    return list(mock_events(event_blocks(300, 7)))


def collected(events, symbol=MOCK):
    collector = Collector("made", symbol)
    for event in events:
        collector.see(event)
    return collector.sample()


def test_windows_of_the_mock_market_are_what_its_simulator_knows(events):
    seen, truth = windows(collected(events), 1), synthetic_grid(300, 1, 7)
    first = START_NS // NS_PER_S
    grid = truth[seen.number - first]
    before = truth[seen.number - first - 1]
    preset = PRESETS["large-tick"]
    assert len(seen.move) >= 297
    assert 1e4 * np.log(grid["mid"] / before["mid"]) == pytest.approx(seen.move, abs=1e-9)
    assert grid["ofi"] * preset.lot == pytest.approx(seen.flow, abs=1e-6)
    assert grid["tfi"] * preset.lot == pytest.approx(seen.traded, abs=1e-6)


def test_order_flow_of_windows_is_that_of_the_one_definition(events):
    sample = collected(events)
    seen = windows(sample, 10)
    theirs = multi_level_ofi(rows_of(events, [MOCK])[Source.BOOK], 10)
    place = seen.number - START_NS // (10 * NS_PER_S)
    assert theirs[place] == pytest.approx(seen.levels)


def test_the_length_of_a_block_changes_nothing(events, monkeypatch):
    whole = collected(events)
    monkeypatch.setattr(replicate_data, "BLOCK", 777)
    cut = collected(events)
    assert whole.quotes.tobytes() == cut.quotes.tobytes()
    assert windows(whole, 1).levels == pytest.approx(windows(cut, 1).levels)
    assert PRESETS["large-tick"].tick == whole.tick == cut.tick


def test_a_window_with_a_reset_is_left_out(events):
    lost = len(events) // 2
    ts = events[lost].ts
    bids, asks = ((0.4, 5.0),), ((0.6, 5.0),)
    broken = [
        *events[:lost],
        BookInvalid(MOCK, ts, ts, "gap"),
        *(event for event in events[lost:] if not isinstance(event, BookDelta) or event.ts > ts + 5 * NS_PER_S),
        BookSnapshot(MOCK, events[-1].ts, events[-1].ts, bids, asks),
    ]
    number = windows(collected(broken), 1).number
    assert ts // NS_PER_S not in number
    assert ts // NS_PER_S - 1 in number
    assert ts // NS_PER_S + 2 not in number


def test_quotes_of_a_ticker_that_knows_more_than_the_book_are_taken():
    start = START_NS
    ticker = [
        Quote("X", start + i * NS_PER_S // 4, start + i * NS_PER_S // 4, 99.99, 1.0 + i % 3, 100.01, 2.0)
        for i in range(200)
    ]
    seen = collected(ticker, "X")
    assert (True, 200) == (seen.ticker, len(seen.quotes))
    flow = windows(seen, 1).flow
    assert 48 == len(flow)
    assert {-2.0, -1.0, 0.0, 1.0} >= set(flow)
    answers = named(measure(seen))
    assert {UNMEASURED} == {answers[name].verdict for name in CLAIMS}


def test_columns_are_added_up_by_place_and_nothing_becomes_a_number():
    seen = summed(np.array([5, 5, 7]), np.array([[1.0], [2.0], [math.nan]]))
    assert [5, 7] == seen.second.tolist()
    assert 3.0 == seen.columns[0, 0]
    assert math.isnan(seen.columns[1, 0])


def test_trades_without_a_book_are_no_sample_and_nothing_is_measured():
    start = START_NS
    seen = collected([Trade("X", start, start, 1.0, 1.0, 1)], "X")
    assert 0 == len(seen.quotes)
    assert 0 == len(windows(seen, 1).move)


# --- the mock market, whose truth is known


@pytest.fixture(scope="module")
def usual():
    return measure(mock_sample(7, 0.6, deaf))


#: Stylised facts that the mock market was built to show; wide, as half an hour is short.
BANDS = {
    "OFI R2, 1 s": (0.1, 0.35),
    "OFI R2, 10 s": (0.4, 0.7),
    "first component's share of variance": (0.5, 0.95),
    "AUC of imbalance": (0.6, 0.78),
    "share of up moves": (0.4, 0.6),
    "autocorrelation of signs, lag 1": (0.12, 0.6),
    "gamma of signs": (0.2, 0.9),
    "slope of ln beta on ln depth": (-1.8, -0.2),
    "effective spread, bps, offset 0 ms": (2.0, 4.0),
}


@pytest.mark.parametrize("name", BANDS)
def test_the_mock_market_shows_its_stylised_fact(usual, name):
    low, high = BANDS[name]
    assert low < named(usual)[name].estimate.value < high


@pytest.mark.parametrize(
    "name",
    [
        "OFI less TFI R2, 10 s",
        "OFI less TFI R2, 1 s",
        "AUC of imbalance",
        "MSE of micro-price / weighted mid, 1 s",
        "autocorrelation of signs, lag 1",
    ],
)
def test_what_the_mock_market_was_built_to_show_is_found_to_hold(usual, name):
    assert HOLDS == named(usual)[name].verdict


def test_an_estimate_lies_in_its_interval(usual):
    for finding in usual.findings:
        one = finding.estimate
        assert math.isnan(one.low) or one.low <= one.value <= one.high, finding.name


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 3])
def test_stylised_facts_hold_over_hours(seed):
    found = named(measure(mock_sample(seed, 6.0, deaf)))
    bands = BANDS | {"OFI R2, 10 s": (0.4, 0.65), "AUC of imbalance": (0.6, 0.75), "gamma of signs": (0.3, 0.75)}
    for name, (low, high) in bands.items():
        assert low < found[name].estimate.value < high, name
    assert "1800" in found["slope of ln beta on ln depth"].note
    assert HOLDS == found["MSE of micro-price / mid, 10 s"].verdict


# --- the command


def asked(capsys, *arguments):
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def rows_in(out):
    def refuse(token):
        raise ValueError(token)

    return json.loads(out, parse_constant=refuse)


KEYS = {"name", "symbol", "paper", "ours", "low", "high", "n"}


def test_json_is_a_list_of_rows_and_nothing_else(capsys):
    code, out, err = asked(capsys, "--synthetic", "--hours", "0.05", "--seed", "3", "--json")
    rows = rows_in(out)
    assert (0, "") == (code, err)
    assert list(CLAIMS) == [row["name"] for row in rows]
    for row in rows:
        assert set(row) >= KEYS
        assert isinstance(row["n"], int)
        assert all(row[key] is None or isinstance(row[key], float) for key in ("paper", "ours", "low", "high"))
        assert (row["ours"] is None) == (row["verdict"] == UNMEASURED)


def test_pictures_are_saved_and_a_table_is_printed(capsys, tmp_path):
    code, out, _ = asked(capsys, "--synthetic", "--hours", "0.1", "--out", str(tmp_path / "plots"))
    assert 0 == code
    assert "OFI R2, 10 s" in out
    assert "not measured:" in out
    saved = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert ["forest.svg", "mock_market_large_tick_seed_7_MOCK.svg"] == saved
    for name in saved:
        assert (tmp_path / "plots" / name).read_text().startswith("<?xml")


def test_a_recorded_tape_is_measured_as_far_as_it_goes(capsys):
    if not SHORT.is_file():
        pytest.skip("the recordings are not beside this tree")
    code, out, _ = asked(capsys, "--data", str(SHORT), "--symbol", "SUSHI/USDT:USDT", "--json")
    rows = {row["name"]: row for row in rows_in(out)}
    assert 0 == code
    assert {"SUSHIUSDT"} == {row["symbol"] for row in rows.values()}
    assert 0.3 < rows["OFI R2, 1 s"]["ours"] < 0.9
    assert HOLDS == rows["AUC of imbalance"]["verdict"]
    assert rows["OFI R2, 10 s"]["ours"] is None
    assert "2 whole windows of 10 s, 20 are needed" == rows["OFI R2, 10 s"]["note"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected --data PATH or --synthetic, saw neither"),
        (["--data", "x", "--synthetic"], "saw both"),
        (["--data", "nowhere.jsonl.zst"], "saw nothing at nowhere.jsonl.zst"),
        (["--data", "."], "expected tapes"),
        (["--data", "x", "--seed", "1"], "--seed: it belongs to --synthetic"),
        (["--synthetic", "--symbol", "BTCUSDT"], "--symbol: it belongs to --data"),
        (["--synthetic", "--hours", "0"], "--hours: expected a number above 0, saw 0"),
        (["--synthetic", "--hours", "nan"], "--hours: expected a number above 0, saw nan"),
        (["--synthetic", "--hours", "inf"], "--hours: expected a number above 0, saw inf"),
        (["--synthetic", "--seed", "-1"], "a seed is a whole number"),
        (["--synthetic", "--out", "taken"], "--out: expected a folder, saw the file taken"),
        (["--synthetic", "--jsn"], "did you mean --json?"),
        (["--data", "taken"], "taken"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("no tape\n")
    code, out, err = asked(capsys, *arguments)
    assert (2, "") == (code, out)
    assert words in err
    assert 1 == len(err.strip().splitlines())


def test_a_tape_without_a_market_is_said_in_words(capsys, tmp_path):
    (tmp_path / "empty.jsonl").touch()
    code, _, err = asked(capsys, "--data", str(tmp_path))
    assert 2 == code
    assert "expected books or quotes, saw no market's events; name other recordings" in err


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX pipe")
def test_a_reader_that_has_gone_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "backtest.replicate", "--synthetic", "--hours", "0.001"]
    seen = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(writer)
    assert 0 == seen.returncode


def test_a_symbol_that_is_not_there_is_refused_with_those_that_are(capsys):
    if not SMALL.is_file():
        pytest.skip("the recordings are not beside this tree")
    code, _, err = asked(capsys, "--data", str(SMALL), "--symbol", "XRPUSDT", "--json")
    assert 2 == code
    assert "of XRPUSDT, saw other events, of BTCUSDT, DOGEUSDT, ETHUSDT, SOLUSDT" in err


def test_a_tape_of_two_markets_is_refused(capsys, tmp_path):
    path = tape(tmp_path, [bybit_book("snapshot", 1), enveloped("btcusdt@depth", **diff("BTCUSDT", 1, 2, 1))])
    code, _, err = asked(capsys, "--data", str(path))
    assert 2 == code
    assert "expected one market, as symbols share names, saw binance_usdm, bybit_linear" in err


@pytest.mark.slow
def test_every_recording_is_measured(capsys):
    if not RECORDINGS.is_dir():
        pytest.skip("the recordings are not beside this tree")
    code, out, _ = asked(capsys, "--data", str(RECORDINGS), "--json")
    rows = rows_in(out)
    assert 0 == code
    assert 15 * len(CLAIMS) == len(rows)
    area = {row["recording"]: row["ours"] for row in rows if row["name"] == "AUC of imbalance" and row["ours"]}
    assert min(area.values()) > 0.55
