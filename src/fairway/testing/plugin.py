"""Fixtures for pytest, which finds them by itself where Fairway is installed. Unused, they import nothing.

They want pytest-django, as every test of a Django project with pytest does.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fairway.layers.base import Layer
    from fairway.testing.client import Client
    from fairway.testing.live_server import LiveServer
    from fairway.testing.views import ViewClient
    from fairway.testing.websockets import WSClient


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Keep pytest from compiling all of Fairway anew, for the sake of asserts that it has none of.

    That is what pytest does to every package with a plugin, as it is imported; there is no other way to decline.
    """
    marked: set[str] = getattr(getattr(early_config.pluginmanager, "rewrite_hook", None), "_must_rewrite", set())
    marked.discard("fairway")


@pytest.fixture
def channel_layer_aliases() -> Sequence[str]:
    """Which layers `channel_layer` replaces. Override it in a `conftest.py` or a test module."""
    from fairway import DEFAULT_CHANNEL_LAYER

    return (DEFAULT_CHANNEL_LAYER,)


@pytest.fixture
def channel_layer(channel_layer_aliases: Sequence[str]) -> "Iterator[Layer]":
    """A layer of this test's own, in its process, for each of `channel_layer_aliases`; this is the first one's."""
    from fairway import channel_layers
    from fairway.testing.layers import PlacedLayers

    with PlacedLayers(channel_layer_aliases):
        yield channel_layers[channel_layer_aliases[0]]


@pytest.fixture
def channel_client(channel_layer: "Layer", channel_layer_aliases: Sequence[str]) -> "Client":
    """A `Client` on `channel_layer`."""
    del channel_layer
    from fairway.testing.client import Client

    return Client(channel_layer_aliases[0])


@pytest.fixture
def ws_client(channel_layer: "Layer", channel_layer_aliases: Sequence[str]) -> "WSClient":
    """A `WSClient` on `channel_layer`."""
    del channel_layer
    from fairway.testing.websockets import WSClient

    return WSClient(channel_layer_aliases[0])


@pytest.fixture
def view_client(channel_layer: "Layer", channel_layer_aliases: Sequence[str]) -> "ViewClient":
    """A `ViewClient` on `channel_layer`."""
    del channel_layer
    from fairway.testing.views import ViewClient

    return ViewClient(channel_layer_aliases[0])


@pytest.fixture
def channel_live_server_options() -> dict[str, Any]:
    """How `channel_live_server` is made: the arguments of `LiveServer`. Override it to change them."""
    return {}


@pytest.fixture
def channel_live_server(transactional_db: None, channel_live_server_options: dict[str, Any]) -> "Iterator[LiveServer]":
    """A real server (`url`, `ws_url`) and a real worker on the test's database, with the settings of this moment."""
    del transactional_db
    from fairway.testing.live_server import LiveServer

    with LiveServer(**channel_live_server_options) as server:
        yield server
