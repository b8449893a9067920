"""Books, prints and headlines that were recorded, beside the closes at which they were known."""

import dataclasses

import numpy as np
import pytest

from backtest.data.dataset import make_dataset
from backtest.data.market import synthetic_market
from backtest.data.recorded import NEWS, book_of, of_news, of_settings
from exec.trader import Trader
from ingest.headlines.headline import Headline, Snapshot
from ingest.headlines.snapshots import SnapshotFile
from ingest.tapes.bars import bars_of
from tests.places import RECORDINGS
from utils.errors import DataError, DataUnavailable
from utils.rows import NS_PER_S
from utils.settings.tree import FeatureSettings, Settings
from utils.types import BookSnapshot, Trade

SETTINGS = Settings()
MINUTE = 60 * NS_PER_S


@pytest.fixture(scope="module")
def market():
    return synthetic_market(SETTINGS, "BTCUSDT,ETHUSDT", "1m", 200)


def told(market, monkeypatch, events):
    """Books beside the bars, of a tape that holds these events."""
    monkeypatch.setattr("backtest.data.recorded.replay", lambda _, symbols: (e for e in events if e.symbol in symbols))
    return book_of(market, ["a tape"])


def book(ts, bid=100.0, ask=100.1, symbol="BTCUSDT"):
    return BookSnapshot(symbol, ts, ts, ((bid, 1.0),), ((ask, 1.0),))


def test_a_close_has_the_book_as_it_stood_then_and_none_before_the_first_or_after_the_last(market, monkeypatch):
    closes = market.bars["ts"][market.bars["sym"] == 0]
    at = [int(closes[k]) for k in range(100, 105)]
    rows = told(
        market,
        monkeypatch,
        [
            book(at[0] + 1),  # a moment after its close: not known there
            book(at[1] + 5 * NS_PER_S, ask=100.2),
            book(at[2] - 1, ask=100.3),
            book(at[3], ask=100.4),  # at the close itself: not before it
            Trade("BTCUSDT", at[3] + 1, at[3] + 1, 100.0, 1.0, 1),
        ],
    )
    own = rows[market.bars["sym"] == 0]
    known = np.flatnonzero(np.isfinite(own["spread_bps"]))
    assert known.tolist() == [101, 102, 103]
    assert own["spread_bps"][known] == pytest.approx([1e4 * w / (100 + w / 2) for w in (0.1, 0.3, 0.3)])
    assert own["book_age_ms"][known] == pytest.approx([60_000.0, 0.0, 60_000.0], abs=1e-3)
    assert np.isnan(rows[market.bars["sym"] == 1]["spread_bps"]).all()


def test_they_are_what_a_live_trader_froze_at_the_same_closes(market, monkeypatch):
    events = []
    for k, bar in enumerate(market.bars[300:400]):
        symbol = market.symbols[bar["sym"]]
        ts = int(bar["ts"]) - (k % 7 + 1) * NS_PER_S
        events += [book(ts, ask=100.1 + k % 5 / 10, symbol=symbol), Trade(symbol, ts + 1, ts + 1, 100.0, 1.0 + k, 1)]
    events.sort(key=lambda event: event.ts)
    end = int(market.bars["ts"][-1]) + 1
    events += [Trade(name, end, end, 100.0, 1.0, 1) for name in market.symbols]
    rows = told(market, monkeypatch, events)
    trader = Trader(market, SETTINGS, live=True)
    trader.on_bars(market.bars[:300])
    left = list(events)
    for first in range(300, 400, 2):
        bars = market.bars[first : first + 2]
        while left and left[0].ts < bars["ts"][0]:
            trader.on_event(left.pop(0))
        assert trader.on_close(bars).book.tobytes() == rows[first : first + 2].tobytes()


def test_a_tape_of_another_time_or_symbol_is_refused(market, monkeypatch):
    for event in (book(int(market.bars["ts"][-1]) + 1), book(int(market.bars["ts"][0]) + 1, symbol="XRPUSDT")):
        with pytest.raises(DataError, match="--tape: expected a recording of BTCUSDT, ETHUSDT while bars closed"):
            told(market, monkeypatch, [event])


def test_a_recording_and_its_own_candles_make_columns(tmp_path):
    path = RECORDINGS / "binance_usdm" / "BTCUSDT_20240808T2354_346s.jsonl.zst"
    if not path.exists():
        pytest.skip("the recordings are not there: ../shared/data/l2")
    (made,) = bars_of([path], "1m")
    closes = [row[0] + MINUTE for row in made.rows]
    shown = synthetic_market(SETTINGS, "BTCUSDT", "1m", 200)
    bars = shown.bars.copy()
    bars["ts"] += closes[-1] - bars["ts"][-1]
    rows = book_of(dataclasses.replace(shown, bars=bars), [path])
    assert np.isfinite(rows["spread_bps"][-len(closes) :]).all()
    assert np.isnan(rows["spread_bps"][: -len(closes) - 2]).all()


def headline(number, seen, currencies=("BTC",), **more):
    return Headline(f"cryptopanic:{number}", "A headline", seen - MINUTE, seen, currencies=currencies, **more)


@pytest.fixture
def folder(market, tmp_path):
    """Three snapshots, ten minutes apart: one headline more in each."""
    file = SnapshotFile(tmp_path / "news")
    first = int(market.bars["ts"][200])
    for k in range(3):
        seen = first + 10 * k * MINUTE + 1
        file.write(Snapshot(seen, "cryptopanic", (), tuple(headline(j, seen) for j in range(k + 1))))
    return tmp_path / "news"


def test_headlines_count_from_when_they_were_seen_and_for_their_coin_alone(market, folder):
    found = of_news(market, folder)
    assert found.names == NEWS
    age = found.values[:, NEWS.index("news_view_age_s")]
    known = np.flatnonzero(np.isfinite(age))
    assert market.bars["ts"][known[0]] > market.bars["ts"][200]
    assert age[known].min() >= 0.0
    since = found.values[:, NEWS.index("news_since_last_s")]
    btc = market.bars["sym"] == 0
    assert np.isfinite(since[known[btc[known]]]).all()
    assert np.isnan(since[~btc]).all()


def test_switched_on_they_are_columns_and_another_fingerprint(market, folder):
    on = SETTINGS.model_copy(update={"features": FeatureSettings(news=True, news_dir=folder)})
    wider, plain = make_dataset(market, on, further=of_settings(market, on)), make_dataset(market, SETTINGS)
    assert wider.table.names == (*plain.table.names, *NEWS)
    assert wider.manifest["fingerprint"] != plain.manifest["fingerprint"]
    assert of_settings(market, SETTINGS) == ()


def test_switched_on_and_not_recorded_is_an_error_of_theirs(market, folder, tmp_path):
    for chosen, said in (
        (FeatureSettings(news=True, news_dir=tmp_path / "absent"), "features.news: news: expected .jsonl.zst files at"),
        (FeatureSettings(positioning=True), "features.positioning: expected recorded snapshots"),
    ):
        with pytest.raises(DataUnavailable, match=said) as caught:
            of_settings(market, SETTINGS.model_copy(update={"features": chosen}))
        assert caught.value.exit_code == 3
    early = dataclasses.replace(market, bars=market.bars[:100])
    with pytest.raises(DataUnavailable, match="from before the last bar, saw none"):
        of_news(early, folder)
