"""Which methods a typed group message may call: those an application wrote for it, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway import Message
from fairway.consumers import BaseConsumer, JsonWebsocketConsumer, WebsocketConsumer
from fairway.consumers.events import handler_of, reserve_names


def event(kind):
    return Message({"path": "/", "event": {"type": kind}}, "websocket.event", None)


class Mixin:
    def room_closed(self, event, **kwargs):
        """Do nothing."""


class Chat(Mixin, JsonWebsocketConsumer):
    chat_rooms = ["lobby"]

    class Chat_Form:  # noqa: N801  so that a type could name it
        """No handler."""

    def chat_message(self, event, **kwargs):
        """Do nothing."""

    def _chat_secret(self, event, **kwargs):
        """Do nothing."""

    def chat__secret(self, event, **kwargs):
        """Do nothing."""

    def raw_receive(self, message, **kwargs):
        """Do nothing."""

    @property
    def chat_user(self):
        raise AssertionError("an event evaluated a property")

    @classmethod
    def chat_class(cls, event, **kwargs):
        """Do nothing."""


@pytest.mark.parametrize("kind", ["chat.message", "room.closed", "chat.class"])
def test_handlers(kind):
    assert handler_of(Chat, event(kind)) == getattr(Chat, kind.replace(".", "_"))


@pytest.mark.parametrize(
    "kind",
    [
        "chat.unknown",
        "_chat.secret",
        "chat._secret",
        "chat.__class__",
        "_.chat",
        ".chat.message",
        "._chat.secret",
        "__init__",
        "..init..",
        "raw.receive",
        "as.route",
        "get.handler",
        "group.send",
        "decode.json",
        "wrong.json",
        "method.mapping",
        "channel.session",
        "runs.as.coroutine",
        "chat.rooms",
        "chat.user",
        "Chat.Form",
        "chat message",
        "",
    ],
)
def test_what_no_event_calls(kind):
    assert handler_of(Chat, event(kind)) is None


@pytest.mark.parametrize("content", [{}, {"event": None}, {"event": "chat.message"}, {"event": {"type": 1}}])
def test_what_is_no_event_at_all(content, caplog):
    message = Message({"path": "/", **content}, "websocket.event", None)
    assert handler_of(Chat, message) is None
    Chat(message)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("cls", [BaseConsumer, WebsocketConsumer, JsonWebsocketConsumer])
def test_nothing_that_the_base_classes_have_is_a_handler(cls):
    for name in dir(cls):
        assert handler_of(Chat, event(name.replace("_", "."))) is None
        assert handler_of(Chat, event(name)) is None


@given(st.text() | st.lists(st.sampled_from([*dir(Chat), ".", "_", ""])).map("".join))
def test_no_type_reaches_what_is_private_or_of_a_base_class(kind):
    found = handler_of(Chat, event(kind))
    if found is not None:
        assert found.__name__ in {"chat_message", "room_closed", "chat_class", "chat__secret"}


def test_handlers_may_come_with_a_route():
    route = WebsocketConsumer.as_route(attrs={"chat_message": lambda self, event, **kwargs: None})
    assert handler_of(route.consumer, event("chat.message")) is not None


def test_a_base_class_elsewhere_may_reserve_its_names():
    @reserve_names
    class Base(WebsocketConsumer):
        def serve_everything(self, event, **kwargs):
            """Do nothing."""

    assert handler_of(Base, event("serve.everything")) is None
