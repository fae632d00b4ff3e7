"""The consumers of the rohrpost shapes: rohrpost, and the bare JSON consumer that it is compared with."""

from __future__ import annotations

import os
from typing import Any

from bench.plan import CONSUMER
from fairway.consumers import JsonWebsocketConsumer


class Bare(JsonWebsocketConsumer):
    """Send back what came."""

    def receive(self, content: Any, **_: Any) -> None:
        """Answer at once."""
        self.send(content)


class BareUser(Bare):
    """The same where somebody is logged in."""

    http_user = True


def taker() -> type[Any]:
    """Return the consumer that the harness names."""
    name = os.environ.get(CONSUMER, "json")
    if name in ("json", "json-user"):
        return Bare if name == "json" else BareUser
    from fairway.rohrpost import SyncRohrpostConsumer

    return SyncRohrpostConsumer.as_asgi(**({} if name == "rohrpost-user" else {"http_user": False}))
