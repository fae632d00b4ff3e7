import unittest

import pytest
from django.core.exceptions import ImproperlyConfigured

from fairway.routing import route
from fairway.testing import Client, apply_routes
from fairway.testing.layers import PlacedLayers
from tests.testing.support import fresh_layers

__all__ = ["fresh_layers"]


def one(message):
    """A consumer."""


def two(message):
    """Another."""


def consumers(alias="default"):
    client = Client(alias)
    return [client.get_consumer_by_channel("one"), client.get_consumer_by_channel("two")]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (route("one", one), [one, None]),
        ([route("one", one), route("two", two)], [one, two]),
        ((route("one", one), route("two", two)), [one, two]),
        ([[route("one", one)], [route("two", two)]], [one, two]),
    ],
)
def test_one_route_a_list_and_a_list_of_lists(routes, expected):
    with apply_routes(routes):
        assert consumers() == expected
    assert consumers() == [None, None]


def test_the_inner_one_holds_and_then_the_outer_one_again():
    with apply_routes(route("one", one)):
        with apply_routes(route("two", two)):
            assert consumers() == [None, two]
        assert consumers() == [one, None]


def test_only_the_layers_that_are_named_are_touched():
    with PlacedLayers(["default", "other"]), apply_routes(route("one", one), aliases=["other"]):
        assert consumers() == [None, None]
        assert consumers("other") == [one, None]
    with PlacedLayers(["default", "other"]), apply_routes(route("one", one), aliases="other"):
        assert consumers("other") == [one, None]


@apply_routes(route("one", one))
def decorated(word, *, other):
    return word, other, consumers()


@apply_routes(route("one", one))
async def adecorated(word):
    return word, consumers()


def test_a_function_can_be_decorated():
    assert decorated("a", other="b") == ("a", "b", [one, None])
    assert decorated.__name__ == "decorated"
    assert consumers() == [None, None]


async def test_a_coroutine_function_can_be_decorated():
    assert await adecorated("a") == ("a", [one, None])
    assert consumers() == [None, None]


@apply_routes([route("one", one)])
class DecoratedCase(unittest.TestCase):
    def setUp(self):
        self.in_set_up = consumers()

    def tearDown(self):
        assert consumers() == [one, None]

    def test_holds_in_set_up_test_and_tear_down(self):
        assert self.in_set_up == consumers() == [one, None]


def test_after_a_decorated_class_nothing_is_left():
    result = unittest.TestResult()
    DecoratedCase("test_holds_in_set_up_test_and_tear_down").run(result)
    assert result.wasSuccessful()
    assert consumers() == [None, None]


def test_a_class_that_is_no_test_case_is_refused():
    class Plain:
        """Not a test case."""

    with pytest.raises(TypeError, match="Plain is none; decorate its methods"):
        apply_routes(route("one", one))(Plain)


def test_what_is_no_route_is_refused_on_its_line():
    with pytest.raises(ImproperlyConfigured, match="a routing holds"):
        apply_routes([one])
