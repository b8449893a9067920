"""The peers are optional: without them the benchmark says what to do."""

from importlib.util import find_spec

import pytest

from benchmarks import inputs, peers
from utils.errors import ConfigError


@pytest.mark.skipif(find_spec("vectorbt_rust") is not None, reason="vectorbt is installed here")
def test_a_missing_peer_is_one_clear_sentence():
    with pytest.raises(ConfigError, match=r"pip install -r benchmarks/requirements\.txt"):
        peers.vectorbt_bars(inputs.bars(10, 1), "rust")


def test_the_sweep_has_200_different_settings():
    assert len(set(inputs.SETTINGS)) == 200
