"""Handlers that live as long as a test, and a socket that asks them."""

import pytest
from django.urls import path

from fairway.rohrpost import handlers, subscriptions
from fairway.rohrpost.registry import HANDLERS
from fairway.rohrpost.subscriptions import SUBSCRIPTIONS
from fairway.rohrpost.sync_consumer import SyncRohrpostConsumer
from tests.rohrpost.harness import Socket

__all__ = ["handlers", "subscriptions"]  # so that what they register is there before the first test


@pytest.fixture(autouse=True)
def registries():
    """What a test registers is gone after it."""
    before = [(registry, dict(registry)) for registry in (HANDLERS, SUBSCRIPTIONS)]
    yield
    for registry, content in before:
        registry.clear()
        registry.update(content)


@pytest.fixture
def connect(channel_layer):
    """Open a socket to a consumer."""
    sockets = []

    def open_socket(consumer=SyncRohrpostConsumer, url="/ws/rohrpost/", route="ws/rohrpost/"):
        sockets.append(Socket([path(route, consumer)], url))
        return sockets[-1]

    yield open_socket
    for socket in reversed(sockets):
        socket.close()


@pytest.fixture
def socket(connect):
    return connect()
