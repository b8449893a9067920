import numpy as np
import pytest

from ingest.mock.events import event_blocks, synthetic_events
from ingest.mock.market import START_NS
from ingest.mock.rows import BOOK, TRADE
from ingest.mock.settings import PRESETS
from utils.rows import NS_PER_S


def test_events_do_not_depend_on_the_block_size():
    small = np.concatenate(list(event_blocks(60, 4, rows=1)))
    assert synthetic_events(60, 4).tobytes() == small.tobytes()


@pytest.fixture(scope="module")
def events():
    return synthetic_events(600, 1)


def test_times_never_go_back_and_arrivals_never_share_one(events):
    assert (np.diff(events["ts"]) >= 0).all()
    changes = events[events["ts"] > START_NS]
    per_arrival = np.unique(changes["ts"], return_counts=True)[1]
    assert 1 == np.median(per_arrival)
    assert START_NS == events["ts"][0]
    assert events["ts"][-1] < START_NS + 600 * NS_PER_S


@pytest.mark.parametrize("preset", PRESETS)
def test_the_replayed_book_is_never_crossed_and_trades_hit_its_best_price(preset):
    book = {1: {}, -1: {}}
    rows = synthetic_events(120 / PRESETS[preset].event_rate_scale, 1, preset)
    ends = np.append(rows["ts"][1:] != rows["ts"][:-1], True)
    for (_, kind, side, price, qty), end in zip(rows.tolist(), ends, strict=True):
        assert qty >= 0.0
        if kind == TRADE:
            best = min(book[-1]) if side > 0 else max(book[1])
            assert best == price
            assert qty <= book[-side][price]
        elif qty == 0.0:
            del book[side][price]
        else:
            book[side][price] = qty
        if end:
            assert max(book[1]) < min(book[-1])
    assert {BOOK, TRADE} == set(rows["kind"])


def test_a_trade_row_is_followed_by_what_it_left_of_the_level(events):
    i = np.flatnonzero(events["kind"] == TRADE)
    after = events[i + 1]
    assert (after["kind"] == BOOK).all()
    assert (after["price"] == events["price"][i]).all()
    assert (after["side"] == -events["side"][i]).all()
