"""Labels against those that independent code gives: plain Python over whole ticks and exact fractions."""

import numpy as np
import pandas as pd
import pytest

from ml.barriers.outcomes import outcomes
from tests.market import CANDLE, bars, instrument, params
from tests.places import SHARED
from utils.codes import EXIT_NAMES, MAKER, MARKET, POST_ONLY, TAKER
from utils.types import per_step

#: What became of a signal that opened nothing, or whose end is not known.
UNKNOWN = {"REFUSED", "EXPIRED", "NO_BAR", "END_OF_DATA"}
#: Costs of the two kinds of labels: what they cross (half spread, slippage) and the fees, bps.
COSTS = {"net": ((0.5, 1.0), (2.0, 5.0)), "gross": ((0.0, 0.0), (0.0, 0.0))}
KINDS = {"market": MARKET, "post_only": POST_ONLY}
LEARNING = SHARED / "golden" / "learning"
TABLES = ["labels_candles", "labels_expected"]


@pytest.fixture(scope="module")
def golden():
    if not LEARNING.exists():
        pytest.skip("the golden labels are not there: ../shared/golden/learning")
    return [pd.read_parquet(LEARNING / f"{name}.parquet") for name in TABLES]


def rows_of(candles):
    """BAR rows of a stretch of candles; the last is the symbol's last."""
    return bars(*map(tuple, candles[list(CANDLE)].to_numpy().tolist()))


@pytest.mark.parametrize(("entry", "costs"), [("market", "net"), ("market", "gross"), ("post_only", "net")])
def test_every_label_is_that_of_independent_code(golden, entry, costs):
    candles, expected = golden
    (half_spread, slippage), (maker, taker) = COSTS[costs]
    told = 0
    wanted = expected[(expected["costs"] == costs) & (expected["entry"] == entry)]
    for (case, take, stop, horizon, side), group in wanted.groupby(["case", "take_bps", "stop_bps", "horizon", "side"]):
        stretch = candles[candles["case"] == case].reset_index(drop=True)
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
        ins = instrument(tick=tick, per_tick=per_step(tick), maker_bps=maker, taker_bps=taker)
        rows = rows_of(stretch)
        found = pd.DataFrame(outcomes(rows, np.full(len(rows), float(side)), ins, par))
        want = group.set_index("t").sort_index()
        got = found.loc[want.index]
        reasons = got["exit_reason"].map(EXIT_NAMES.__getitem__)
        known = ~want["reason"].isin(UNKNOWN)
        told += int(known.sum())
        assert (reasons[known] == want["reason"][known]).all(), (case, take, stop, horizon, side)
        assert reasons[~known].isin(["", "END_OF_DATA"]).all()
        for name in ("entry_bar", "exit_bar", "entry_price", "exit_price"):
            assert (got[name][known] == want[name][known]).all(), (name, case, take, stop, horizon, side)
        for name, letter in (("entry_liquidity", "entry_liq"), ("exit_liquidity", "exit_liq")):
            assert (got[name][known] == want[letter][known].map({"M": MAKER, "T": TAKER})).all()
        assert got["net_bps"][known].to_numpy() == pytest.approx(want["net_bps"][known].to_numpy(), abs=1e-9)
        assert (got["ambiguous"][known] == want["ambiguous"][known]).all(), (case, take, stop, horizon, side)
    assert told > 1_000
