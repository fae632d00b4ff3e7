"""Tests as a typed application writes them. mypy reads this file; nothing runs it."""

from datetime import timedelta
from typing import Any, assert_type

from django.contrib.auth.models import User

from fairway import Message, route
from fairway.routing import Consumer
from fairway.testing import (
    ChannelLiveServerTestCase,
    ChannelTestCase,
    Client,
    HttpClient,
    TransactionChannelTestCase,
    WSClient,
    apply_routes,
)


def consume(message: Message) -> None:
    """A consumer."""


class ChatTests(ChannelTestCase):
    """Tests in the process."""

    test_channel_aliases = ("default", "other")

    @apply_routes(route("input", consume))
    def test_client(self) -> None:
        """The plain client."""
        client = Client("other")
        client.send("input", {"n": 1})
        client.consume("input", fail_on_none=False)
        assert_type(client.receive(), Any)
        assert_type(client.reply_channel, str)
        assert_type(client.groups, set[str])
        assert_type(client.state, dict[str, Any])
        assert_type(client.get_consumer_by_channel("input"), Consumer | None)
        assert_type(self.get_next_message("input", require=True), Message | None)
        assert_type(client.deliver_delayed(timedelta(days=1)), list[Message])

    @apply_routes([[route("input", consume)], [route("output", consume)]], aliases=["other"])
    async def test_socket(self) -> None:
        """The WebSocket client."""
        client = WSClient(ordered=True)
        client.force_login(User(username="ann"))
        assert_type(client.login(username="ann", password="x"), bool)
        client.set_cookie("a", "b")
        client.set_header("origin", None)
        await client.aconnect("/chat/?a=b", subprotocols=["chat"])
        await client.asend_and_consume("websocket.receive", text={"a": 1}, path="/chat/")
        assert_type(await client.areceive(json=False), Any)
        assert_type(await client.adeliver_delayed(), list[Message])
        assert_type(client.accepted, dict[str, Any] | None)
        client.session["a"] = 1
        client.order = 5
        client.disconnect(4000)
        HttpClient().send_and_consume("http.request", {"method": "POST"}, path="/")


@apply_routes(route("input", consume))
class TransactionTests(TransactionChannelTestCase):
    """A decorated class is the class it was."""


assert_type(TransactionTests(), TransactionTests)


class LiveTests(ChannelLiveServerTestCase):
    """Tests with real processes."""

    worker_threads = 2
    worker_start_method = "fork"

    def test_live(self) -> None:
        """The addresses."""
        assert_type(self.live_server_url, str)
        assert_type(self.live_server_ws_url, str)
        assert_type(self.take_worker_errors(), list[str])


def wrong() -> None:
    """What mypy must refuse."""
    Client(5)  # type: ignore[arg-type]
    WSClient().connect(5)  # type: ignore[arg-type]
    WSClient().set_cookie("a", None)  # type: ignore[arg-type]
