"""Layers for the tests of the test tools, as a test case has them."""

from collections.abc import Iterator

import pytest

from fairway.testing.layers import PlacedLayers


@pytest.fixture(autouse=True)
def fresh_layers() -> Iterator[PlacedLayers]:
    """Layers of this test's own, as in a `ChannelTestCase`."""
    with PlacedLayers(["default"]) as placed:
        yield placed
