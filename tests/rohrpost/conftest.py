"""Handlers that live as long as a test, and a socket that asks them."""

from contextlib import ExitStack

import pytest
from django.urls import path

from fairway.rohrpost import handlers, subscriptions
from fairway.rohrpost.registry import HANDLERS
from fairway.rohrpost.subscriptions import SUBSCRIPTIONS
from fairway.rohrpost.sync_consumer import SyncRohrpostConsumer
from fairway.testing import WSClient, apply_routes
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
    with ExitStack() as stack:

        def open_socket(consumer=SyncRohrpostConsumer, url="/", route="", client=None):
            client = client or WSClient()
            stack.enter_context(apply_routes([path(route, consumer)]))
            client.connect(url)
            return Socket(client)

        yield open_socket


@pytest.fixture
def socket(connect):
    return connect()
