"""The model that serves: it judges the default strategy's signals, each in the same compiled loop as those before it.

A user's strategy is left alone: what it says of its own chances is its own, and the model was trained on other events.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.fold import matrix
from ml.scoring import Form, Meta, meta_form, row_score
from utils.codes import AUTO, MARKET
from utils.compiled import compiled
from utils.errors import DataError
from utils.figures.arithmetic import Floats
from utils.market.costs import crossing_bps, round_trip_costs
from utils.rows import BAR, INSTRUMENT, PARAMS, SIGNAL, InstrumentRow, ParamsRow, Rows, SignalRow

_crossing = compiled(crossing_bps)
_costs = compiled(round_trip_costs)


@compiled
def judge(
    form: Form, x: Floats, i: int, price: float, ins: InstrumentRow, par: ParamsRow, model: float, sig: SignalRow
) -> None:
    """Write into a signal what the model says of its side: p_win, net_bps, and expected_bps before costs.

    Formula: expected = net + p c_take + (1 - p) c_stop, with the costs of a round trip under these settings.

    Args:
        form: the model.
        x: feature rows, of which `i` is the signal's.
        i: see there.
        price: close, quote.
        ins: the symbol's instrument.
        par: costs and kind of entry.
        model: its number in the run.
        sig: SIGNAL record with a side.
    """
    which = 0 if sig.side > 0.0 else 1
    _, p, net = row_score(form, which, x, i)
    cost_take, cost_stop = _costs(
        par.entry_kind not in (MARKET, AUTO),
        ins.maker_bps,
        ins.taker_bps,
        _crossing(par.half_spread_bps, par.slippage_bps, ins.tick, price),
    )
    sig.p_win = p
    sig.net_bps = net
    sig.expected_bps = net + p * cost_take + (1.0 - p) * cost_stop
    sig.least_bps = form.heads[which].threshold_bps
    sig.model = model


@compiled
def judge_rows(form: Form, x: Floats, bars: Rows, instruments: Rows, params: Rows, model: float, signals: Rows) -> None:
    """`judge` over the signals that stand beside bars; a neutral row, or one that closes, stays as it is."""
    for i in range(len(bars)):
        if not math.isnan(signals[i].side) and signals[i].side != 0.0:
            judge(form, x, i, bars[i].close, instruments[bars[i].sym], params[0], model, signals[i])


@dataclass(frozen=True, slots=True, eq=False)
class Champion:
    """A version of a model, ready to be asked; made by `champion_of`."""

    name: str  # of the version
    meta: Meta
    form: Form
    tested: Any = None  # the configuration of its record; None = nobody's evidence
    home: Path | None = None  # the folder of versions that it is from; None = it is not told

    def judge(self, bars: Rows, vectors: Rows, signals: Rows, instruments: Rows, params: Rows, number: int = 1) -> None:
        """Write into SIGNAL rows beside `bars` what the model says of those with a side.

        Args:
            bars: BAR rows.
            vectors: feature records beside them.
            signals: SIGNAL rows beside them.
            instruments: INSTRUMENT rows, by `sym`.
            params: PARAMS, one row.
            number: of the model in the run, from 1 on.
        """
        judge_rows(self.form, matrix(vectors), bars, instruments, params, float(number), signals)

    def prepare(self) -> None:
        """Have the machine code of `judge` at hand: whoever asks first need not wait for it."""
        bars, instruments, params, signals = (np.zeros(1, kind) for kind in (BAR, INSTRUMENT, PARAMS, SIGNAL))
        judge_rows(self.form, np.zeros((1, len(self.meta.names))), bars, instruments, params, 1.0, signals)


def champion_of(name: str, meta: Meta, features: Sequence[str], fingerprint: str) -> Champion:
    """A model made ready for these features.

    Raises:
        DataError: it was trained on others, or is not sound.
    """
    if meta.fingerprint != fingerprint or meta.names != tuple(features):
        raise DataError(
            f"model {name}: expected one of the features of this version ({len(features)}, {fingerprint[:12]}), saw "
            f"one of others ({len(meta.names)}, {meta.fingerprint[:12]}); train again, or "
            "set meta.enabled: false"
        )
    return Champion(name, meta, meta_form(meta))
