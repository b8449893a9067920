"""Labels against those that independent code gives: plain Python over whole ticks and exact fractions."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ml.barriers.labels import Labeller, labels
from ml.barriers.outcomes import outcomes
from tests.market import CANDLE, bars, instrument, params
from tests.places import SHARED
from utils.codes import EXIT_NAMES, LABEL_NAMES, MAKER, MARKET, POST_ONLY, TAKER
from utils.errors import InvariantError
from utils.types import per_step

#: What became of a signal that opened nothing, or whose end is not known.
UNKNOWN = {"REFUSED", "EXPIRED", "NO_BAR", "END_OF_DATA"}
#: Costs of the two kinds of labels: what they cross (half spread, slippage) and the fees, bps.
COSTS = {"net": ((0.5, 1.0), (2.0, 5.0)), "gross": ((0.0, 0.0), (0.0, 0.0))}
KINDS = {"market": MARKET, "post_only": POST_ONLY}
LEARNING = SHARED / "golden" / "learning"
TABLES = ["labels_candles", "labels_expected", "uniqueness"]


@pytest.fixture(scope="module")
def golden():
    if not LEARNING.exists():
        pytest.skip("the golden labels are not there: ../shared/golden/learning")
    return [pd.read_parquet(LEARNING / f"{name}.parquet") for name in TABLES]


def rows_of(candles):
    """BAR rows of a stretch of candles; the last is the symbol's last."""
    return bars(*map(tuple, candles[list(CANDLE)].to_numpy().tolist()))


def terms(stretch, costs="net", entry="market", take=25.0, stop=18.0, horizon=20):
    """INSTRUMENT and PARAMS of golden labels."""
    (half_spread, slippage), (maker, taker) = COSTS[costs]
    par = params(
        take_bps=take,
        stop_bps=stop,
        horizon=float(horizon),
        entry_kind=KINDS[entry],
        limit_bars=3.0,
        limit_offset_bps=1.0,
        half_spread_bps=half_spread,
        slippage_bps=slippage,
    )
    tick = float(stretch["tick"].iloc[0])
    return instrument(tick=tick, per_tick=per_step(tick), maker_bps=maker, taker_bps=taker), par


@pytest.mark.parametrize(("entry", "costs"), [("market", "net"), ("market", "gross"), ("post_only", "net")])
def test_every_label_is_that_of_independent_code(golden, entry, costs):
    candles, expected, _ = golden
    told = 0
    wanted = expected[(expected["costs"] == costs) & (expected["entry"] == entry)]
    for (case, take, stop, horizon, side), group in wanted.groupby(["case", "take_bps", "stop_bps", "horizon", "side"]):
        stretch = candles[candles["case"] == case].reset_index(drop=True)
        ins, par = terms(stretch, costs, entry, take, stop, horizon)
        rows = rows_of(stretch)
        want = group.set_index("t").sort_index()
        known = ~want["reason"].isin(UNKNOWN)
        told += int(known.sum())
        walked = pd.DataFrame(outcomes(rows, np.full(len(rows), float(side)), ins, par)).loc[want.index]
        label = pd.DataFrame(labels(rows, ins, par)[0 if side > 0 else 1]).loc[want.index]
        assert label["reason"].map(LABEL_NAMES.__getitem__).tolist() == want["reason"].tolist(), (case, take, side)
        assert (walked["exit_reason"][known].map(EXIT_NAMES.__getitem__) == want["reason"][known]).all()
        for name in ("entry_price", "exit_price"):
            assert (walked[name][known] == want[name][known]).all(), (name, case, take, stop, horizon, side)
        for name, letter in (("entry_liquidity", "entry_liq"), ("exit_liquidity", "exit_liq")):
            assert (walked[name][known] == want[letter][known].map({"M": MAKER, "T": TAKER})).all()
        for name in ("entry_bar", "exit_bar", "ambiguous"):
            assert (label[name][known] == want[name][known]).all(), (name, case, take, stop, horizon, side)
        for name in ("gross_bps", "net_bps"):
            assert label[name][known].to_numpy() == pytest.approx(want[name][known].to_numpy(), abs=1e-9)
            assert label[name][~known].isna().all()
    assert told > 1_000


def test_uniqueness_is_that_of_exact_fractions(golden):
    candles, _, expected = golden
    stretch = candles[candles["case"] == candles["case"].iloc[0]].reset_index(drop=True)
    long, _ = labels(rows_of(stretch), *terms(stretch))
    found = long[expected["t"].to_numpy()]
    assert found["entry_bar"].tolist() == expected["first"].tolist()
    assert found["exit_bar"].tolist() == expected["last"].tolist()
    assert found["weight"] == pytest.approx(expected["uniqueness"].to_numpy(), abs=1e-12)
    assert int((long["weight"] > 0).sum()) == len(expected)


#: A market whose long trades take 20 bps: rises of 30 bps a bar after calm ones.
STEPS = [100.0, 100.0, 100.3, 100.6, 100.6, 100.6, 100.9, 101.2, 101.2]


def steps():
    """Bars that go straight from one price to the next."""
    return bars(*((a, max(a, b), min(a, b), b) for a, b in pairwise(STEPS)))


def test_a_label_says_when_it_was_known_and_what_it_shared():
    ins = instrument(tick=0.01, per_tick=100.0, maker_bps=0.0, taker_bps=0.0)
    rows = steps()
    long, short = labels(rows, ins, params(take_bps=20.0, stop_bps=20.0, horizon=3.0))
    # entry at the next open, exit at the first bar that rises: the spans are 1..1, 2..2, 3..5, 4..5, 5..5, 6..6
    assert long["entry_bar"][:6].tolist() == [1, 2, 3, 4, 5, 6]
    assert long["exit_bar"][:6].tolist() == [1, 2, 5, 5, 5, 6]
    assert long["until"][:6].tolist() == rows["ts"][[1, 2, 5, 5, 5, 6]].tolist()
    assert [LABEL_NAMES[k] for k in long["reason"]] == ["TAKE_PROFIT"] * 6 + ["END_OF_DATA", "NO_BAR"]
    # Lopez de Prado's table: at bars 3, 4, 5 are 1, 2 and 3 labels at work
    shared = [1.0, 1.0, (1 + 1 / 2 + 1 / 3) / 3, (1 / 2 + 1 / 3) / 2, 1 / 3, 1.0, 0.0, 0.0]
    assert long["weight"] == pytest.approx(shared, abs=1e-15)
    assert [LABEL_NAMES[k] for k in short["reason"]][:3] == ["STOP_LOSS"] * 3
    assert (long["until"] >= rows["ts"]).all()


def test_an_order_that_nobody_took_is_over_when_it_is_given_up_or_refused():
    ins = instrument(tick=0.01, per_tick=100.0)
    rows = bars((100, 100, 100, 100), (100, 100.5, 100, 100.5), (100.5, 101, 100.5, 101), (99, 99, 99, 99))
    par = params(entry_kind=POST_ONLY, limit_bars=2.0, limit_offset_bps=1.0, take_bps=20.0, stop_bps=20.0)
    long, _ = labels(rows, ins, par)
    assert [LABEL_NAMES[k] for k in long["reason"]] == ["EXPIRED", "STOP_LOSS", "REFUSED", "NO_BAR"]
    assert long["until"].tolist() == rows["ts"][[2, 3, 3, 3]].tolist()
    assert np.isfinite(long["net_bps"]).tolist() == [False, True, False, False]
    assert long["weight"].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_labels_of_a_history_in_stretches_are_those_of_the_whole():
    ins, par = instrument(tick=0.01, per_tick=100.0), params(take_bps=20.0, stop_bps=20.0, horizon=3.0)
    rows = steps()
    for side, whole in zip((1, -1), labels(rows, ins, par), strict=True):
        maker = Labeller(rows, 0, side, ins, par)
        parts = [maker.take(count).copy() for count in (1, 0, 3, 4)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
        with pytest.raises(InvariantError, match="expected at most 0 labels, saw 1 asked for"):
            maker.take(1)
