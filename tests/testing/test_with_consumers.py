"""The clients with the rest of what an application writes with: class-based consumers, users, sessions, logins."""

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings

from fairway import Group
from fairway.auth import disconnect_user
from fairway.auth.changes import connect_receivers
from fairway.consumers import JsonWebsocketConsumer
from fairway.testing import ChannelTestCase, WSClient, apply_routes


class Chat(JsonWebsocketConsumer):
    http_user = True

    def connection_groups(self, **kwargs):
        return ["chat"]

    def connect(self, message, **kwargs):
        self.state.count = 0
        message.channel_session["room"] = "lobby"
        super().connect(message, **kwargs)

    def receive(self, content, **kwargs):
        self.state.count += 1
        session = self.message.channel_session
        self.group_send("chat", {"from": self.message.user.username, "room": session["room"], "n": self.state.count})

    def chat_poke(self, event, **kwargs):
        self.send({"poked by": event["by"]})


@apply_routes(Chat.as_route(path="^/chat/"))
class ChatTests(ChannelTestCase):
    def setUp(self):
        self.user = get_user_model().objects.create_user("ann")
        self.client = WSClient()
        self.client.force_login(self.user)
        self.client.connect("/chat/")

    def test_a_class_based_consumer_has_user_session_and_state(self):
        consumer = self.client.send_and_consume("websocket.receive", text={"a": 1})
        assert isinstance(consumer, Chat)
        assert self.client.receive() == {"from": "ann", "room": "lobby", "n": 1}
        self.client.send_and_consume("websocket.receive", text={"a": 1})
        assert self.client.receive()["n"] == 2

    def test_typed_events_reach_their_method(self):
        Group("chat").send({"type": "chat.poke", "by": "bea"})
        self.client.consume("websocket.event")
        assert self.client.receive() == {"poked by": "bea"}

    def test_a_user_who_is_disconnected_is_closed_though_the_test_never_commits(self):
        disconnect_user(self.user, code=4001, reason="bye")
        assert self.client.receive() == {"close": 4001, "reason": "bye"}

    def test_a_logout_closes_the_sockets_of_the_session(self):
        connect_receivers()  # as the app does it when it is ready
        with override_settings(CHANNEL_LAYERS={"default": {"URL": "local://", "ROUTING": []}}):
            client = WSClient()
            client.force_login(self.user)
            client.connect("/chat/")
            client.logout()
            assert client.receive() == {"close": 1008, "reason": "logged out"}

    def test_a_failure_in_a_method_is_raised_with_the_line_of_the_method(self):
        Group("chat").send({"type": "chat.poke"})
        with pytest.raises(KeyError) as raised:
            self.client.consume("websocket.event")
        assert raised.traceback[-1].name == "chat_poke"
