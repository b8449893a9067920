"""A box that answers REST, for the tests of this folder."""

import pytest

from ingest.rest.venue import close_venues
from tests.ingest.rest.support import rest_box, unthrottled


@pytest.fixture(scope="package")
def standing():
    with rest_box(symbols=("BTCUSDT", "1000PEPEUSDT")) as box:
        yield box


@pytest.fixture
def box(standing):
    yield unthrottled(standing)
    standing.clear_faults()


@pytest.fixture
def anew(box):
    """Venues that have asked nothing yet, and take their bans with them."""
    close_venues()
    yield unthrottled(box)
    close_venues()
