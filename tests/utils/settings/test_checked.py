"""What was given is checked as a whole, and a refusal shows no more than may be shown."""

import pytest

from utils.errors import ConfigError
from utils.settings.checked import checked, nested, place
from utils.settings.sources import Given


def test_what_is_given_holds_and_the_rest_is_the_default():
    settings, origin = checked({"risk.take_bps": Given(30.0, "config.yaml:7")}, str)
    assert (30.0, 18.0) == (settings.risk.take_bps, settings.risk.stop_bps)
    assert ("config.yaml:7", "default") == (origin["risk.take_bps"], origin["risk.stop_bps"])


def test_a_wrong_value_is_said_with_its_place_and_only_as_it_may_be_shown():
    with pytest.raises(ConfigError) as caught:
        checked({"risk.take_bps": Given("user:secret", "config.yaml:7")}, lambda _: "another")
    assert "risk.take_bps: expected a number " in str(caught.value)
    assert "saw another (from config.yaml line 7); the default is 25.0" in str(caught.value)


def test_a_character_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"meta\.version: expected text, saw a character that is none"):
        checked({"meta.version": Given("a\0", "code")}, str)


def test_dotted_keys_are_nested_and_origins_said_in_words():
    assert {"a": {"b": 1, "c": {"d": 2}}, "e": 3} == nested({"a.b": 1, "a.c.d": 2, "e": 3})
    assert ("config.yaml line 3", "--take-bps") == (place("config.yaml:3"), place("--take-bps"))
