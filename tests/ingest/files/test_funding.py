from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from ingest.files.candles import load_candles
from ingest.files.funding import load_funding, sibling_funding, uncovered
from tests.places import DATA
from utils.errors import ConfigError, DataError
from utils.rows import FUNDING

FILES = sorted(DATA.glob("funding/*/*.parquet"))
recorded = pytest.mark.skipif(not FILES, reason="the recorded funding files are not on this machine")

HOUR = 3600 * 10**9
START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 10**9
RATES = [0.0001, -0.00025, 0.0]


def frame(rates=RATES):
    stamps = [(START + 8 * HOUR * i) // 10**6 for i in range(len(rates))]
    return pd.DataFrame({"timestamp": stamps, "funding_rate": rates})


def check(rows):
    assert FUNDING == rows.dtype
    assert [START + 8 * HOUR * i for i in range(3)] == rows["ts"].tolist()
    assert RATES == rows["rate"].tolist()
    assert [0, 0, 0] == rows["sym"].tolist()


def test_parquet_and_csv_give_the_same_rows(tmp_path):
    table = frame()
    table.to_csv(tmp_path / "BTCUSDT_x.csv", index=False)
    table["timestamp"] = pd.to_datetime(table["timestamp"], unit="ms")
    table.to_parquet(tmp_path / "BTCUSDT_x.parquet")
    check(load_funding(tmp_path / "BTCUSDT_x.csv", "BTC/USDT:USDT"))
    check(load_funding(str(tmp_path / "BTCUSDT_x.parquet"), "BTCUSDT"))


def test_csv_without_header_and_the_archive_of_binance_are_read(tmp_path):
    path = tmp_path / "BTCUSDT-fundingRate-2025-01.csv"
    frame().to_csv(path, index=False, header=False)
    check(load_funding(path, "BTCUSDT"))
    table = frame().set_axis(["calc_time", "last_funding_rate"], axis="columns")
    table.insert(1, "funding_interval_hours", 8)
    table.to_csv(path, index=False)
    check(load_funding(path, "BTCUSDT"))


@pytest.mark.parametrize(
    ("time", "rate"),
    [
        ("fundingTime", "fundingRate"),
        ("fundingRateTimestamp", "fundingRate"),
        ("calc_time", "last_funding_rate"),
        ("funding_time", "funding_rate"),
        ("datetime", "rate"),
    ],
)
def test_the_names_of_every_exchange_are_known_and_the_newest_may_come_first(tmp_path, time, rate):
    table = frame().set_axis([time, rate], axis="columns")
    table.insert(0, "symbol", "BTCUSDT")
    table[::-1].to_json(tmp_path / "BTCUSDT.json", orient="records")
    check(load_funding(tmp_path / "BTCUSDT.json", "BTCUSDT"))


def test_freqtrade_keeps_the_rate_as_open(tmp_path):
    path = tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather"
    table = frame().rename(columns={"timestamp": "date", "funding_rate": "open"})
    table["date"] = pd.to_datetime(table["date"], unit="ms", utc=True)
    table.assign(high=0.0, low=0.0, close=0.0, volume=0.0).to_feather(path)
    check(load_funding(path, "BTCUSDT"))
    table.assign(open=1.0, high=1.0, low=1.0, close=1.0, volume=0.0).to_feather(path)
    with pytest.raises(DataError, match="expected funding settlements, seen candles"):
        load_funding(path, "BTCUSDT")


def test_a_time_is_never_suggested_as_the_rate(tmp_path):
    frame().set_axis(["date", "x"], axis="columns").to_csv(tmp_path / "BTCUSDT.csv", index=False)
    with pytest.raises(DataError, match=r"column 'funding_rate': .*; add it"):
        load_funding(tmp_path / "BTCUSDT.csv", "BTCUSDT")


def test_funding_of_another_symbol_is_refused_by_its_column(tmp_path):
    frame().assign(symbol="ETHUSDT").to_csv(tmp_path / "funding.csv", index=False)
    with pytest.raises(DataError, match="column 'symbol': expected BTCUSDT as the candles are, seen ETHUSDT"):
        load_funding(tmp_path / "funding.csv", "BTCUSDT")


@pytest.mark.parametrize("rate", [float("nan"), None, 1.0, -1.0, 8.0, float("inf")])
def test_a_rate_that_is_no_small_fraction_is_refused(tmp_path, rate):
    path = tmp_path / "BTCUSDT.csv"
    frame([0.0001, rate, 0.0]).to_csv(path, index=False)
    with pytest.raises(
        DataError, match=r"BTCUSDT.csv: row 2, column 'funding_rate': expected a fraction between -1 and 1"
    ):
        load_funding(path, "BTCUSDT")


def test_settlements_out_of_order_or_twice_are_refused(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    for order, message in [([0, 2, 1], "row 3, column 'timestamp': .*; sort"), ([0, 0, 1], "row 2, .* again; delete")]:
        frame().iloc[order].to_csv(path, index=False)
        with pytest.raises(DataError, match=message):
            load_funding(path, "BTCUSDT")


def test_a_missing_column_and_a_missing_file_are_refused(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    with pytest.raises(DataError, match=r"expected a file, seen none"):
        load_funding(path, "BTCUSDT")
    frame().rename(columns={"funding_rate": "funding_rat"}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"column 'funding_rate': .*rename 'funding_rat' to 'funding_rate'"):
        load_funding(path, "BTCUSDT")


def test_a_file_of_another_symbol_is_refused(tmp_path):
    frame().to_csv(tmp_path / "ETHUSDT_x.csv", index=False)
    with pytest.raises(ConfigError, match=r"expected a file of BTCUSDT, seen ETHUSDT_x.csv"):
        load_funding(tmp_path / "ETHUSDT_x.csv", "BTCUSDT")


def test_the_sibling_is_found_by_its_place(tmp_path):
    candles = tmp_path / "ohlcv" / "binance_usdm" / "5m" / "BTCUSDT_x.parquet"
    folder = tmp_path / "funding" / "binance_usdm"
    assert sibling_funding(candles, "binance_usdm", "BTCUSDT") is None
    folder.mkdir(parents=True)
    (folder / "BTCUSDTX_1.parquet").touch()
    assert sibling_funding(candles, "binance_usdm", "BTCUSDT") is None
    (folder / "BTCUSDT_1.parquet").touch()
    assert folder / "BTCUSDT_1.parquet" == sibling_funding(candles, "binance_usdm", "BTCUSDT")
    assert sibling_funding(candles, "", "BTCUSDT") is None
    assert sibling_funding(candles, "bybit_linear", "BTCUSDT") is None
    assert sibling_funding("BTCUSDT_x.parquet", "binance_usdm", "BTCUSDT") is None


def test_several_siblings_are_refused(tmp_path):
    candles = tmp_path / "ohlcv" / "binance_usdm" / "5m" / "BTCUSDT_x.parquet"
    folder = tmp_path / "funding" / "binance_usdm"
    folder.mkdir(parents=True)
    (folder / "BTCUSDT_1.parquet").touch()
    (folder / "BTCUSDT_2.parquet").touch()
    with pytest.raises(DataError, match=r"seen BTCUSDT_1.parquet, BTCUSDT_2.parquet; name one by --funding"):
        sibling_funding(candles, "binance_usdm", "BTCUSDT")


@pytest.mark.parametrize("late_ms", [-3, 17, 1_999])
def test_a_settlement_that_is_stamped_late_is_the_one_that_was_due(tmp_path, late_ms):
    table = frame()
    table.loc[1, "timestamp"] += late_ms
    table.to_csv(tmp_path / "BTCUSDT.csv", index=False)
    check(load_funding(tmp_path / "BTCUSDT.csv", "BTCUSDT"))


def test_a_settlement_told_twice_is_one_if_its_rows_agree(tmp_path):
    path, table = tmp_path / "BTCUSDT.csv", frame()
    again = table.iloc[[0, 1, 1, 2]].reset_index(drop=True)
    again.loc[2, "timestamp"] += 17
    again.to_csv(path, index=False)
    check(load_funding(path, "BTCUSDT"))
    again.loc[2, "funding_rate"] = 0.5
    again.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"row 3, column 'funding_rate': expected the rate -0\.00025 of the row before"):
        load_funding(path, "BTCUSDT")


def settlements(*hours):
    rows = np.zeros(len(hours), FUNDING)
    rows["ts"] = [START + hour * HOUR for hour in hours]
    return rows


@pytest.mark.parametrize(
    ("hours", "spans"),
    [
        ((0, 8, 16, 24), []),
        ((8, 16), []),  # the first comes within an interval; the one at the end would be paid by nobody who goes on
        ((), [(0, 24)]),
        ((8,), [(8, 24)]),
        ((16, 24), [(0, 16)]),
        ((-24, -16), [(0, 24)]),
        ((48, 56), [(0, 24)]),
        ((0, 16, 24), [(0, 16)]),
        ((0, 4, 8, 12, 16, 20, 24), []),
        ((-48, -24, 0, 24), []),  # once a day
        ((0, 8, *range(9, 25)), []),  # every hour for a time
    ],
)
def test_what_settlements_do_not_cover_is_found(hours, spans):
    found = uncovered(settlements(*hours), START, START + 24 * HOUR)
    assert spans == [((since - START) // HOUR, (until - START) // HOUR) for since, until in found]


@recorded
@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_recorded_funding_file_loads(path):
    rows = load_funding(path, path.stem.split("_")[0])
    assert (361 if "bybit_linear" in path.parts else 858) == len(rows)
    assert {8 * HOUR} == set((rows["ts"][1:] - rows["ts"][:-1]).tolist())


@recorded
def test_recorded_candles_find_their_funding_and_spot_has_none():
    for market, tf, found in [
        ("binance_usdm", "5m", True),
        ("bybit_linear", "1m", True),
        ("binance_spot", "1h", False),
    ]:
        path = next(DATA.glob(f"ohlcv/{market}/{tf}/BTCUSDT_*.parquet"))
        candles = load_candles(path)
        funding = sibling_funding(path, candles.market, candles.symbol)
        assert found == (funding is not None)
