"""Which consumers are awaited."""

import functools

import pytest

from fairway import Message
from fairway.consumers import BaseConsumer
from fairway.consumers.calls import (
    any_coroutine_function,
    as_coroutine_function,
    decorated,
    decorated_once,
    is_coroutine_consumer,
    is_coroutine_function,
    resolve,
)


def echo(message):
    return message


async def aecho(message):
    return message


class Callable:
    async def __call__(self, message):
        return message


class Unhashable(Callable):
    __hash__ = None


class Mixed(BaseConsumer):
    method_mapping = {"a": "act", "b": "aact"}

    def act(self, message):
        return message

    async def aact(self, message):
        return message


@pytest.mark.parametrize(
    ("consumer", "channel", "expected"),
    [
        (echo, "a", False),
        (aecho, "a", True),
        (functools.partial(aecho), "a", True),
        (Callable(), "a", True),
        (Unhashable(), "a", True),
        (Callable, "a", False),
        (Mixed, "a", False),
        (Mixed, "b", True),
        (Mixed, None, False),
    ],
)
def test_what_makes_a_coroutine(consumer, channel, expected):
    assert is_coroutine_consumer(consumer, Message({}, channel, None)) is expected


@pytest.mark.parametrize("function", [echo, aecho])
async def test_anything_can_be_made_one(function):
    assert await as_coroutine_function(function)("x") == "x"


@pytest.mark.parametrize("result", ["x", aecho("x")])
async def test_a_result_may_be_there_or_still_to_come(result):
    assert await resolve(result) == "x"


@pytest.mark.parametrize(
    ("functions", "expected"),
    [((), False), ((echo, None), False), ((echo, aecho), True), ((echo, Unhashable()), True)],
)
def test_one_coroutine_among_several(functions, expected):
    assert any_coroutine_function(functions) is expected


class Methods:
    made = 0

    def method(self, message):
        return self, message

    async def amethod(self, message):
        return self, message


def marked(function):
    Methods.made += 1

    @functools.wraps(function)
    def inner(*args, **kwargs):
        return "marked", function(*args, **kwargs)

    return inner


def amarked(function):
    assert is_coroutine_function(function)

    @functools.wraps(function)
    async def inner(*args, **kwargs):
        return "marked", await function(*args, **kwargs)

    return inner


def test_a_method_is_decorated_each_time_or_once():
    one, two = Methods(), Methods()
    Methods.made = 0
    for each in (one, two, one):
        assert decorated_once(each.method, (marked,), is_coroutine=False)("m") == ("marked", (each, "m"))
    assert Methods.made == 1
    for each in (one, two):
        assert decorated(each.method, (marked,), is_coroutine=False)("m") == ("marked", (each, "m"))
    assert Methods.made == 3


@pytest.mark.parametrize("decorate", [decorated, decorated_once])
async def test_decorators_of_a_coroutine_get_a_coroutine_function(decorate):
    each = Methods()
    for method in (each.method, each.amethod):
        handler = decorate(method, (amarked,), is_coroutine=True)
        assert is_coroutine_function(handler)
        assert await handler("m") == ("marked", (each, "m"))


def test_what_is_no_method_is_decorated_too():
    assert decorated_once(echo, (marked,), is_coroutine=False)("m") == ("marked", "m")


def test_a_method_without_decorators_stays_what_it_is():
    method = Methods().method
    assert decorated_once(method, (), is_coroutine=False) is method
