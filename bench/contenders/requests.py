"""rohrpost beside a bare JSON consumer, both with a hub and one worker process, and with the same frames."""

from __future__ import annotations

from bench.contenders.fairway import FairwayHub
from bench.plan import CONSUMER


class _Requests(FairwayHub):
    consumer: str

    @property
    def env(self) -> dict[str, str]:
        """Name the consumer."""
        return {**super().env, CONSUMER: self.consumer}


class BareJson(_Requests):
    """A `JsonWebsocketConsumer` that sends back what came."""

    key = "json-hub"
    title = "JsonWebsocketConsumer that echoes"
    consumer = "json"


class BareJsonUser(_Requests):
    """The same with the user of the session, whom it does not look at."""

    key = "json-user-hub"
    title = "JsonWebsocketConsumer that echoes, http_user = True"
    consumer = "json-user"


class Rohrpost(_Requests):
    """rohrpost without users."""

    key = "rohrpost-hub"
    title = "SyncRohrpostConsumer, http_user = False"
    consumer = "rohrpost"


class RohrpostUser(_Requests):
    """rohrpost as it is in a project with users, one of whom is logged in."""

    key = "rohrpost-user-hub"
    title = "SyncRohrpostConsumer as it is, user logged in"
    consumer = "rohrpost-user"
