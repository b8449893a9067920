"""The columns of the log files."""

from __future__ import annotations

from utils.records import schema


def test_columns_of_the_log_files_have_a_kind_each() -> None:
    for columns in (schema.TRADE_COLUMNS, schema.SIGNAL_COLUMNS, schema.ORDER_COLUMNS, schema.EQUITY_COLUMNS):
        assert len(set(columns)) == len(columns)
    assert not schema.TIME_COLUMNS & schema.TEXT_COLUMNS
    every = {*schema.TRADE_COLUMNS, *schema.SIGNAL_COLUMNS, *schema.ORDER_COLUMNS, *schema.EQUITY_COLUMNS}
    assert every > schema.TIME_COLUMNS | schema.TEXT_COLUMNS | schema.ID_COLUMNS
