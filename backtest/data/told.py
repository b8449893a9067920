"""What a data set is said to be: lines for people, and what they have to be warned of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backtest.data.decisions import DIRECTIONS
from utils.figures.shown import counted, needed, percent

#: Share of trades that touched both barriers in one bar, above which finer candles are the cure.
AMBIGUOUS = 0.02
#: Gaps that are named.
SHOWN_GAPS = 3


def lines_of(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What stands in a data set, line by line."""
    asked = manifest["configuration"]
    yield (
        f"{manifest['rows']:,} decisions of {', '.join(manifest['symbols'])} at {manifest['timeframe']}, "
        f"{manifest['first_close']} to {manifest['last_close']}, {len(manifest['features'])} features"
    )
    yield (
        f"take {asked['take_bps']:g}, stop {asked['stop_bps']:g} bps, at most {asked['horizon']} bars, entry "
        f"{asked['entry'].replace('_', '-')}, {'before' if asked['gross'] else 'after'} costs"
    )
    for name in DIRECTIONS:
        side = manifest[name]
        net = "none" if side["mean_net_bps"] is None else f"{side['mean_net_bps']:+.2f} bps"
        yield (
            f"{name}: {side['labels']:,} labels, {percent(side['base_rate'])} won, {net} a trade; uniqueness "
            f"{0.0 if side['mean_uniqueness'] is None else side['mean_uniqueness']:.3f}, so "
            f"{side['effective_labels']:,.0f} effective labels; {percent(side['unfilled_share'])} unfilled, "
            f"{percent(side['ambiguous_share'], 2)} ambiguous"
        )
    for symbol, prices in manifest["prices"].items():
        yield f"{symbol}: win rate that pays the costs without a time limit: {needed(prices['break_even'])}"


def warnings_of(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What has to be known before anything is learned from a data set, each a sentence."""
    for symbol, prices in manifest["prices"].items():
        if prices["tick_bps"] > prices["fees_bps"]:
            yield (
                f"{symbol}: its tick is {prices['tick_bps']:.2f} bps, wider than the fees of a round trip "
                f"({prices['fees_bps']:g}): its accuracy is bounce, and no profit"
            )
    for name in DIRECTIONS:
        share = manifest[name]["ambiguous_share"]
        if share is not None and share > AMBIGUOUS:
            yield f"{name}: {percent(share)} of the trades met a bar that touched both barriers: use finer candles"
    if manifest["empty"]:
        yield f"no value in any row: {', '.join(manifest['empty'])}; the source does not tell what they need"
    for source in manifest["sources"]:
        gaps = source["gaps"]
        if gaps:
            missing = sum(gap["missing"] for gap in gaps)
            first = ", ".join(f"after {gap['after']}" for gap in gaps[:SHOWN_GAPS])
            yield (
                f"{source['symbol']}: {counted(len(gaps), 'gap')} of {missing:,} bars in all ({first}"
                f"{', ...' if len(gaps) > SHOWN_GAPS else ''}): labels and features run across them"
            )
    if manifest["synthetic"]:
        yield "of the mock market: no evidence of a market"
    if manifest["settings"]["risk"]["stop"] != "bps" or manifest["settings"]["risk"]["trail"] != "off":
        yield "risk.stop and risk.trail are others in the settings: labels have a stop of stop_bps, without a trail"
    yield from manifest["doubts"]
