"""Trades as the exchanges' archives have them."""

import gzip
import zipfile

import pandas as pd
import pytest

from features.rows.users import trade_rows
from ingest.files.trades import load_trades
from utils.errors import ConfigError, DataError

MS = 1_704_067_200_123
AGG = f"1,42000.1,0.5,1,2,{MS},true\n2,42000.2,0.25,3,3,{MS + 1},false\n"
BYBIT = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n"
    "1704067200.123,BTCUSDT,Sell,0.5,42000.1,PlusTick,aa,1,0.5,21000.05\n"
    "1704067200.124,BTCUSDT,Buy,0.25,42000.2,PlusTick,bb,1,0.25,10500.05\n"
)
FILES = {
    "BTCUSDT-aggTrades-2024-01.csv": AGG,
    "BTCUSDT-aggTrades-2025-01.csv": AGG.replace(str(MS), f"{MS}000").replace(str(MS + 1), f"{MS + 1}000"),
    "BTCUSDT-trades-2024-01.csv": (
        f"id,price,qty,quote_qty,time,is_buyer_maker\n1,42000.1,0.5,21000,{MS},true\n2,42000.2,0.25,1,{MS + 1},false\n"
    ),
    "BTCUSDT-trades-2024-01-01.csv": f"1,42000.1,0.5,21000,{MS},True,True\n2,42000.2,0.25,1,{MS + 1},False,True\n",
    "BTCUSDT2024-01-01.csv": BYBIT,
    "BTCUSDT_2024-01-01.csv": f"id,timestamp,price,volume,side\n1,{MS},42000.1,0.5,sell\n2,{MS + 1},42000.2,0.25,buy\n",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("pack", ["", ".gz", ".zip"])
def test_every_archive_gives_the_same_rows(tmp_path, name, pack):
    path = tmp_path / (name + pack)
    if pack == ".gz":
        path.write_bytes(gzip.compress(FILES[name].encode()))
    elif pack == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, FILES[name])
    else:
        path.write_text(FILES[name])
    rows = trade_rows(load_trades(path))
    assert [MS * 10**6, (MS + 1) * 10**6] == rows["ts"].tolist()
    assert [(-1, 42000.1, 0.5), (1, 42000.2, 0.25)] == rows[["side", "price", "qty"]].tolist()


@pytest.mark.parametrize("name", ["BTCUSDT2024-01-01.csv", "BTCUSDT-trades-2024-01.csv"])
def test_a_frame_that_somebody_read_himself_is_taken_too(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    assert trade_rows(load_trades(tmp_path / name)).tobytes() == trade_rows(pd.read_csv(tmp_path / name)).tobytes()


def test_several_files_are_one_frame(tmp_path):
    names = ["BTCUSDT-trades-2024-01.csv", "BTCUSDT2024-01-01.csv"]
    for name in names:
        (tmp_path / name).write_text(FILES[name])
    assert 4 == len(load_trades([tmp_path / name for name in names], symbol="BTC/USDT"))


@pytest.mark.parametrize(
    ("name", "text", "error", "says"),
    [
        ("BTCUSD_PERP-trades-2024-01.csv", AGG, ConfigError, "settled in its coin"),
        ("BTCUSDT_240329-trades-2024-01.csv", AGG, ConfigError, "a dated contract"),
        ("ETHUSDT2024-01-01.csv", BYBIT, DataError, "row 1, column 'symbol': expected ETHUSDT .*, seen BTCUSDT"),
        ("x.csv", BYBIT.replace("0.5,21000.05", "0.0000119,0.5"), DataError, "they are contracts"),
        ("BTCUSDT.csv", "time,price,qty\n1704067200,1,1\n", DataError, "expected trades with a side"),
        ("BTCUSDT.csv", "time,price,side\n1704067200,1,buy\n", DataError, "expected trades with a qty"),
    ],
)
def test_trades_that_cannot_be_ours_are_refused(tmp_path, name, text, error, says):
    if "contracts" in says:
        text = text.replace("0.25,10500.05", "0.00000595,0.25")
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=says):
        load_trades(tmp_path / name)
