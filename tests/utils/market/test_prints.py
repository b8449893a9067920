import pytest

from utils.market.prints import plain_name, print_columns


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Open Time", "open_time"),
        ("openTime", "open_time"),
        ("open-time", "open_time"),
        ("trdMatchID", "trd_match_id"),
        ("isBuyerMaker", "is_buyer_maker"),
        ("volCcyQuote", "vol_ccy_quote"),
        ("CLOSE", "close"),
        ("__index_level_0__", "__index_level_0__"),
        (5, "5"),
    ],
)
def test_a_name_has_one_plain_spelling(name, plain):
    assert plain == plain_name(name)


def test_the_columns_of_archives_are_known():
    bybit = ["timestamp", "symbol", "side", "size", "price", "tickDirection", "trdMatchID", "homeNotional"]
    assert {"timestamp": "timestamp", "price": "price", "qty": "size", "side": "side", "id": "trdMatchID"}.items() <= (
        print_columns(bybit).items()
    )
    binance = [
        "agg_trade_id",
        "price",
        "quantity",
        "first_trade_id",
        "last_trade_id",
        "transact_time",
        "is_buyer_maker",
    ]
    known = print_columns(binance)
    assert ("transact_time", "quantity", "is_buyer_maker") == (known["timestamp"], known["qty"], known["maker"])
    assert "side" not in known
