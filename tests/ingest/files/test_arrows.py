import numpy as np
import pyarrow as pa
import pytest

from ingest.files.arrows import declared


def messages(table, compression, chunk):
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, chunk)
    return pa.ipc.MessageReader.open_stream(out.getvalue())


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_batches_say_how_many_rows_and_bytes_they_unpack_to(compression):
    table = pa.table({"a": np.zeros(1000), "b": np.zeros(1000, dtype=np.int32)})
    assert (1000, 12_000, 0) == declared(messages(table, compression, 250), 10)
    assert (1000, 8_000, 0) == declared(messages(table, compression, 250), 1)


def test_words_of_a_dictionary_are_counted_by_themselves():
    table = pa.table({"a": pa.array(["x" * 5000, "y" * 5000]).dictionary_encode()})
    said = declared(messages(table, "zstd", 2), 10)
    assert (2, 8) == said[:2]
    assert 10_000 <= said.words < 10_100


def test_a_header_that_is_none_is_refused():
    broken = type("Message", (), {"type": "record batch", "metadata": pa.py_buffer(b"\xff" * 16), "body": None})()
    with pytest.raises(ValueError, match="a batch has no header"):
        declared([broken], 1)
