"""The columns of the log files."""

from __future__ import annotations

from utils.records import schema


def test_columns_of_the_log_files_have_a_kind_each() -> None:
    tables = (schema.TRADE_COLUMNS, schema.SIGNAL_COLUMNS, schema.ORDER_COLUMNS, schema.FILL_COLUMNS)
    tables = (*tables, schema.EQUITY_COLUMNS)
    for columns in tables:
        assert len(set(columns)) == len(columns)
    assert not schema.TIME_COLUMNS & schema.TEXT_COLUMNS
    every = {name for columns in tables for name in columns}
    assert every > schema.TIME_COLUMNS | schema.TEXT_COLUMNS | schema.ID_COLUMNS
