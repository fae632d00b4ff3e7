"""How decorators of consumers are made: steps, once for functions and once for coroutines."""

import pytest
from asgiref.sync import iscoroutinefunction

from fairway import Message
from fairway.consumers import BaseConsumer
from fairway.sessions.around import Step, around


class Noted(Step):
    def __init__(self, name, notes, fails_in=""):
        self.name = name
        self.notes = notes
        self.fails_in = fails_in

    def enter(self, message):
        self._note("enter")

    async def aenter(self, message):
        self._note("enter")

    def leave(self, message, *, failed):
        self._note("failed" if failed else "leave")

    async def aleave(self, message, *, failed):
        self._note("failed" if failed else "leave")

    def _note(self, what):
        self.notes.append(f"{what} {self.name}")
        if self.fails_in == what:
            raise LookupError(self.name)


@pytest.fixture
def message():
    return Message({}, "test", None)


@pytest.fixture(params=["function", "coroutine"])
def kind(request):
    return request.param


async def call(kind, notes, message, steps, ends=None):
    """Decorate a consumer that notes its call, and call it."""

    def consumer(message, **kwargs):
        """Its own words."""
        notes.append("consumer")
        if ends is not None:
            raise ends
        return kwargs

    async def aconsumer(message, **kwargs):
        """Its own words."""
        return consumer(message, **kwargs)

    if kind == "function":
        return around(consumer, "test", *steps)(message, room="blue")
    return await around(aconsumer, "test", *steps)(message, room="blue")


async def test_steps_are_entered_in_order_and_left_in_opposite_order(kind, message):
    notes = []
    result = await call(kind, notes, message, [Noted("a", notes), Noted("b", notes)])
    assert result == {"room": "blue"}
    assert notes == ["enter a", "enter b", "consumer", "leave b", "leave a"]


async def test_steps_hear_that_the_consumer_raised(kind, message):
    notes = []
    with pytest.raises(KeyError):
        await call(kind, notes, message, [Noted("a", notes), Noted("b", notes)], ends=KeyError())
    assert notes == ["enter a", "enter b", "consumer", "failed b", "failed a"]


async def test_a_step_that_cannot_be_entered_keeps_the_consumer_from_running(kind, message):
    notes = []
    with pytest.raises(LookupError):
        await call(kind, notes, message, [Noted("a", notes), Noted("b", notes, fails_in="enter")])
    assert notes == ["enter a", "enter b", "failed b", "failed a"]


async def test_after_a_step_that_cannot_be_left_the_ones_further_out_do_nothing(kind, message):
    notes = []
    with pytest.raises(LookupError):
        await call(kind, notes, message, [Noted("a", notes), Noted("b", notes, fails_in="leave")])
    assert notes == ["enter a", "enter b", "consumer", "leave b"]


async def test_a_step_without_methods_of_its_own_does_nothing(kind, message):
    assert await call(kind, [], message, [Step()]) == {"room": "blue"}


def test_a_decorated_consumer_keeps_its_name_and_kind():
    def consumer(message):
        """Its own words."""

    async def aconsumer(message):
        """Its own words."""

    for original in (consumer, aconsumer):
        decorated = around(original, "test", Step())
        assert (decorated.__name__, decorated.__doc__) == (original.__name__, "Its own words.")
        assert iscoroutinefunction(decorated) == iscoroutinefunction(original)


class Consumers:
    def own(self, message, *, room="none"):
        return room

    async def aown(self, message, *, room="none"):
        return room

    decorated = around(own, "test", Step())


async def test_methods_are_decorated_in_the_class_and_on_the_instance(message):
    consumers = Consumers()
    assert consumers.decorated(message, room="blue") == "blue"
    assert around(consumers.own, "test", Step())(message, room="red") == "red"
    assert await around(consumers.aown, "test", Step())(message, room="red") == "red"


class Callable:
    async def __call__(self, message):
        return "called"


async def test_an_object_that_is_called_may_be_a_coroutine_function(message):
    notes = []
    assert await around(Callable(), "test", Noted("a", notes))(message) == "called"
    assert notes == ["enter a", "leave a"]


class Mixed(BaseConsumer):
    method_mapping = {"test": "act", "later": "aact"}

    def act(self, message):
        self.acted = True

    async def aact(self, message):
        """Never reached."""


def test_a_class_is_decorated_where_its_method_is_a_function(message):
    decorated = around(Mixed, "test", Step())
    assert decorated(message).acted
    assert decorated.__name__ == "Mixed"
    with pytest.raises(TypeError, match="test around Mixed, whose method for this message is async def: decorate"):
        decorated(Message({}, "later", None))


async def test_the_message_is_among_the_first_two_arguments(kind, message):
    with pytest.raises(ValueError, match="test called without Message instance"):
        await call(kind, [], "no message", [Step()])
    with pytest.raises(ValueError, match="test called without Message instance"):
        around(lambda *args: None, "test", Step())(1, 2, message)
