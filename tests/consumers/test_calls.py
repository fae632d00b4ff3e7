"""Which consumers are awaited."""

import functools

import pytest

from fairway import Message
from fairway.consumers import BaseConsumer
from fairway.consumers.calls import any_coroutine_function, as_coroutine_function, is_coroutine_consumer, resolve


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
