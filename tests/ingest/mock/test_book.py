import numpy as np

from ingest.mock.events import event_blocks
from ingest.mock.market import START_NS, nothing, open_market
from ingest.mock.rows import BOOK, LEVELS, MASK, WINDOW
from ingest.mock.settings import MarketParams
from utils.rows import NS_PER_MINUTE


def test_depth_kept_incrementally_equals_the_lots_in_the_book():
    market = open_market(2)
    for minute in range(1, 61):
        market.advance(START_NS + minute * NS_PER_MINUTE, *nothing())
        for side in market.sides:
            window = [side.lots[(side.best - i) & MASK] for i in range(WINDOW)]
            assert side.depth == sum(window)
            assert window[0] > 0
            assert (side.lots >= 0).all()


def test_the_book_outlives_a_walk_across_its_whole_ring():
    """A trending market crosses the 1,024 remembered ticks again and again; what is forgotten is said."""
    one_parent = {"metaorders": 1, "alpha": 0.2, "longest": 1e9, "noise": 0.0, "thin_hit": 0.0, "refill": 0.0}
    params = MarketParams(base_rate=0.5, limit_rate=10.0, sweep=0.5, **one_parent)
    resting = {1: set(), -1: set()}
    low, high = np.inf, 0.0
    for block in event_blocks(3600, 1, params=params):
        for _, kind, side, price, qty in block.tolist():
            if kind == BOOK:
                (resting[side].add if qty > 0.0 else resting[side].discard)(round(price * 10_000))
            else:
                low, high = min(low, price), max(high, price)
        if (high - low) * 10_000 > 2048:
            break  # where it walks hangs on the last bit of the machine's exp, and a fall may end at 0
    assert (high - low) * 10_000 > LEVELS
    assert max(resting[1]) < min(resting[-1])
    assert max(resting[1]) - min(resting[1]) < LEVELS
    assert max(resting[-1]) - min(resting[-1]) < LEVELS
