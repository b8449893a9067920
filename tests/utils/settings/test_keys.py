"""What is known about the keys of the settings."""

from __future__ import annotations

import pytest

from tests.settings import refusal
from utils.settings.keys import default_leaves, field_of, range_of, unit_of


def test_every_setting_has_meaning_unit_and_range():
    for key in default_leaves():
        field = field_of(key)
        assert field.description, key
        assert field.description.endswith("."), key
        assert unit_of(field), key
        assert range_of(field), key


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("risk:\n  take_bp: 5\n", "config.yaml line 2: unknown key risk.take_bp; did you mean risk.take_bps?"),
        ("rsik:\n  take_bps: 5\n", "config.yaml line 1: unknown key rsik; did you mean risk?"),
        ("take_bps: 5\n", "config.yaml line 1: unknown key take_bps; did you mean risk.take_bps?"),
        ("qqqqqqqq: 5\n", "config.yaml line 1: unknown key qqqqqqqq; --show-config lists every key"),
        ("instruments: {bybit_linaer: {}}", "did you mean instruments.bybit_linear?"),
        (
            "instruments:\n  bybit_linear:\n    BTCUSDT: {tik: 1}\n",
            "unknown key instruments.bybit_linear.BTCUSDT.tik; did you mean instruments.bybit_linear.BTCUSDT.tick?",
        ),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_known_one(load, config, said):
    assert said in refusal(load, config)
