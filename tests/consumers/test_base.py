"""Class-based consumers: a method for each channel, `async def` or not, and what lives as long as the connection."""

import pytest

from fairway import Message
from fairway.consumers import BaseConsumer
from tests.support.chain import Chain


class Worker(BaseConsumer):
    method_mapping = {"websocket.receive": "act", "websocket.connect": "open"}
    greeting = "hello"

    async def open(self, message, **kwargs):
        self.state.count = 0
        message.reply_channel.send({"accept": True})

    def act(self, message, **kwargs):
        self.state.count += 1
        message.reply_channel.send({"text": f"{self.greeting} {self.kwargs} {self.state.count}"})


def test_each_message_has_an_instance_and_the_connection_its_state():
    with Chain([Worker.as_route(path="^/(?P<room>[a-z]+)$")]) as chain:
        assert chain.connect("/blue") == [{"accept": True}]
        (state,) = chain.states()
        chain.run("websocket.receive", {"path": "/blue", "text": "x"}, order=1, state=state)
        assert chain.frames()[-1] == {"text": "hello {'room': 'blue'} 1"}


def test_a_route_without_attributes_leads_to_the_class_itself():
    assert Worker.as_route().consumer is Worker
    assert Worker.channel_names() == {"websocket.connect", "websocket.receive"}


def test_a_route_with_attributes_leads_to_a_subclass_of_the_same_name():
    route = Worker.as_route(attrs={"greeting": "bye"}, path="^/x")
    assert issubclass(route.consumer, Worker)
    assert (route.consumer.__name__, route.consumer.greeting, Worker.greeting) == ("Worker", "bye", "hello")
    assert str(route).endswith("(path=^/x) -> tests.consumers.test_base.Worker")


def test_the_attributes_of_a_route_are_a_dict():
    with pytest.raises(AssertionError, match="takes a dict of class attributes, not list"):
        Worker.as_route(attrs=["greeting"])


async def test_an_instance_is_awaited_where_its_method_is_a_coroutine():
    seen = []

    class Late(BaseConsumer):
        method_mapping = {"a": "act"}

        async def act(self, message):
            seen.append(message)

    message = Message({}, "a", None)
    late = Late(message)
    assert seen == []
    assert await late is late
    assert seen == [message]


async def test_awaiting_any_other_does_nothing():
    class Soon(BaseConsumer):
        method_mapping = {"a": "act"}

        def act(self, message):
            return "ignored"

    soon = Soon(Message({}, "a", None))
    assert await soon is soon


def test_a_coroutine_that_did_not_look_like_one_is_run_all_the_same():
    seen = []

    def logged(method):
        def wrapper(self, message):
            seen.append("called")
            return method(self, message)

        return wrapper

    class Hidden(BaseConsumer):
        method_mapping = {"a": "act"}

        @logged
        async def act(self, message):
            seen.append(message)

    message = Message({}, "a", None)
    assert not Hidden.runs_as_coroutine(message)
    Hidden(message)
    assert seen == ["called", message]


def test_a_handler_of_ones_own():
    seen = []

    class Decorated(BaseConsumer):
        method_mapping = {"a": "act"}

        def get_handler(self, message, **kwargs):
            handler = super().get_handler(message, **kwargs)
            return lambda message, **kwargs: handler(message, **kwargs, more="more")

        def act(self, message, room, more):
            seen.append((room, more))

    Decorated(Message({}, "a", None), room="blue")
    assert seen == [("blue", "more")]


def test_a_channel_without_a_method_is_an_error_that_names_both():
    class Narrow(BaseConsumer):
        method_mapping = {"a": "act"}

    with pytest.raises(KeyError, match=r"Narrow has no method for messages on 'b'; it is for a"):
        Narrow(Message({}, "b", None))


def test_guards_stand_between_the_session_and_the_method():
    seen = []

    def guard(handler):
        def inner(self, message, **kwargs):
            seen.append(message.channel_session.get("x"))
            return handler(self, message, **kwargs)

        return inner

    class Guarded(BaseConsumer):
        method_mapping = {"a": "act"}
        guards = (guard,)
        channel_session = True

        def act(self, message, room):
            seen.append(room)

    Guarded(Message({"reply_channel": "websocket.send.x!y"}, "a", None), room="blue")
    assert seen == [None, "blue"]


def test_the_state_has_attributes():
    class Stateful(BaseConsumer):
        method_mapping = {"a": "act"}

        def act(self, message):
            self.state.room = ["blue"]
            self.state.room.append("red")
            assert self.state.room == ["blue", "red"]
            assert "room" in self.state
            assert repr(self.state) == "<ConnectionState of room>"
            del self.state.room
            with pytest.raises(AttributeError, match="the state of this connection has no 'room'; it has nothing"):
                self.state.room  # noqa: B018
            with pytest.raises(AttributeError, match="room"):
                del self.state.room

    Stateful(Message({"reply_channel": "websocket.send.x!y"}, "a", None))


def test_a_message_of_no_connection_has_no_state():
    class Stateful(BaseConsumer):
        method_mapping = {"a": "act"}

        def act(self, message):
            self.state.room = "blue"

    with pytest.raises(ValueError, match="belongs to no connection"):
        Stateful(Message({}, "a", None))
