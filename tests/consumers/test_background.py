"""What consumers say about their work in the background."""

import functools
import math

import pytest

from fairway.consumers import BaseConsumer, Retry, WebsocketConsumer, background
from fairway.consumers.background import retry_of, time_limit_of


def test_a_function_says_it_by_a_decorator_and_stays_what_it_is():
    def consumer(message):
        """Blocking."""

    async def aconsumer(message):
        """A coroutine."""

    for function in (consumer, aconsumer):
        assert background(retry=2, time_limit=5)(function) is function
        assert retry_of(function) == Retry(times=2)
        assert time_limit_of(function) == 5.0


def test_one_of_the_two_is_enough():
    @background(time_limit=0.5)
    def limited(message):
        """Not tried again."""

    @background(retry=Retry(on=OSError))
    def retried(message):
        """Without a limit."""

    assert (retry_of(limited), time_limit_of(limited)) == (None, 0.5)
    assert (retry_of(retried), time_limit_of(retried)) == (Retry(on=OSError), math.inf)


def test_it_is_seen_through_other_decorators():
    def decorator(function):
        @functools.wraps(function)
        def wrapper(message):
            function(message)

        return wrapper

    @decorator
    @background(retry=3)
    def consumer(message):
        """Decorated once more."""

    assert retry_of(consumer) == Retry(times=3)


def test_a_class_says_it_by_attributes_which_its_subclasses_inherit():
    class Import(BaseConsumer):
        retry = 2
        time_limit = 60

    class Special(Import):
        retry = Retry(7)

    assert (retry_of(Import), time_limit_of(Import)) == (Retry(times=2), 60.0)
    assert (retry_of(Special), time_limit_of(Special)) == (Retry(times=7), 60.0)
    assert retry_of(Import.as_route(attrs={"retry": 1}).consumer) == Retry(times=1)


def test_who_says_nothing_is_not_tried_again_and_has_no_limit():
    for consumer in (print, BaseConsumer, WebsocketConsumer, functools.partial(print), object()):
        assert (retry_of(consumer), time_limit_of(consumer)) == (None, math.inf)


@pytest.mark.parametrize("value", ["2", True, -3, 10**6, Retry, None, print])
def test_a_name_that_means_something_else_is_passed_over(value):
    def consumer(message):
        """Somebody's."""

    consumer.retry = consumer.time_limit = value
    assert retry_of(consumer) is None
    consumer.time_limit = value if value != 10**6 else -1
    assert time_limit_of(consumer) == math.inf


def test_a_method_of_that_name_is_the_class_s_own():
    class Mine(BaseConsumer):
        def retry(self):
            """Nothing of the kind."""

        @property
        def time_limit(self):
            """Nothing of the kind."""

    assert (retry_of(Mine), time_limit_of(Mine)) == (None, math.inf)


@pytest.mark.parametrize(
    ("said", "kind", "says"),
    [
        ({"retry": "5"}, TypeError, r"retry='5': give how many times to try again, as an int, or a Retry\(\.\.\.\)"),
        ({"retry": Retry}, TypeError, "retry=<class"),
        ({"retry": -1}, ValueError, r"Retry\(times=-1\)"),
        ({"time_limit": 0}, ValueError, "time_limit=0: give seconds above 0, or leave it out for no limit"),
        ({"time_limit": float("nan")}, ValueError, "time_limit=nan"),
        ({"time_limit": "5"}, TypeError, "time_limit='5': give seconds, as a number"),
        ({"time_limit": True}, TypeError, "time_limit=True"),
    ],
)
def test_what_is_wrong_is_refused_where_it_is_written(said, kind, says):
    with pytest.raises(kind, match=says):
        background(**said)
    with pytest.raises(kind, match=says):
        type("Wrong", (BaseConsumer,), said)
    with pytest.raises(kind, match=says):
        BaseConsumer.as_route(attrs=said)


def test_nothing_said_is_refused():
    with pytest.raises(ValueError, match="without retry= or time_limit= changes nothing"):
        background()


def test_what_takes_no_attributes_is_refused():
    class Consumers:
        def consume(self, message):
            """A method."""

    with pytest.raises(TypeError, match="takes no attributes; wrap it"):
        background(retry=1)(Consumers().consume)
