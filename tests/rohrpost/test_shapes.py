"""Which data a handler takes, and what is said of other data."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, TypedDict
from uuid import UUID

import msgspec
import pytest

from fairway.rohrpost.shapes import TOLD, WrongData, arguments_for, checked

if TYPE_CHECKING:
    from nowhere import Consumer  # type: ignore[import-not-found]


@dataclass
class Point:
    x: int
    y: float = 0.0

    def __post_init__(self):
        if self.x < 0:
            raise ValueError("x is negative")


class Named(TypedDict):
    name: str


class Todo(msgspec.Struct):
    title: Annotated[str, msgspec.Meta(max_length=5)]
    done: bool = False


def taking(annotation):
    def handler(consumer, request, data): ...

    handler.__annotations__["data"] = annotation
    return handler


@pytest.mark.parametrize(
    ("annotation", "data", "converted"),
    [
        (Any, [object], [object]),
        (int, 5, 5),
        (list[int], [1, 2], [1, 2]),
        (dict[str, Any], {"a": [None]}, {"a": [None]}),
        (int | None, None, None),
        (Point, {"x": 1}, Point(1)),
        (Named, {"name": "ada", "more": 1}, {"name": "ada"}),
        (Todo, {"title": "buy"}, Todo("buy")),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
        (Decimal, "1.50", Decimal("1.50")),
        ("Point", {"x": 1}, Point(1)),
        ("list[Point]", [{"x": 1}], [Point(1)]),
    ],
)
def test_data_is_converted(annotation, data, converted):
    request = {"data": data}
    assert arguments_for(taking(annotation), request) == {"request": request, "data": converted}
    assert checked(taking(annotation), data) == converted


@pytest.mark.parametrize(
    ("annotation", "data", "text"),
    [
        (int, "5", "Invalid data: Expected `int`, got `str`"),
        (int, True, "Invalid data: Expected `int`, got `bool`"),
        (int, None, "Invalid data: Expected `int`, got `null`"),
        (list[int], [1, "2"], "Invalid data: Expected `int`, got `str` - at `$[1]`"),
        (Point, {}, "Invalid data: Object missing required field `x`"),
        (Point, [1], "Invalid data: Expected `object`, got `array`"),
        (Point, {"x": -1}, "Invalid data: x is negative"),
        (Named, {"name": 1}, "Invalid data: Expected `str`, got `int` - at `$.name`"),
        (Todo, {"title": "too long"}, "Invalid data: Expected `str` of length <= 5 - at `$.title`"),
        (UUID, "x", "Invalid data: Invalid UUID"),
    ],
)
def test_data_of_another_shape_is_the_clients_mistake(annotation, data, text):
    for ask in (lambda: arguments_for(taking(annotation), {"data": data}), lambda: checked(taking(annotation), data)):
        with pytest.raises(WrongData) as caught:
            ask()
        assert str(caught.value) == text


def test_what_is_said_of_it_is_short():
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        pass

    with pytest.raises(WrongData) as caught:
        arguments_for(taking(Strict), {"data": {"x" * 1_000_000: 1}})
    assert len(str(caught.value)) == TOLD


def test_a_handler_without_the_parameter_gets_the_request_alone():
    def handler(consumer, request): ...

    def with_any(consumer, **kwargs): ...

    for one in (handler, with_any):
        assert arguments_for(one, {"data": 1}) == {"request": {"data": 1}}
        assert checked(one, 1) == 1


def test_without_a_type_hint_any_data_will_do():
    def handler(consumer, request, data): ...

    assert arguments_for(handler, {"data": {"a": 1}})["data"] == {"a": 1}
    assert arguments_for(handler, {}) == {"request": {}, "data": None}


def test_where_there_is_no_data_the_default_holds():
    def handler(consumer, request, data: int = 5): ...

    assert arguments_for(handler, {}) == {"request": {}}
    assert arguments_for(handler, {"data": 1})["data"] == 1
    with pytest.raises(WrongData):
        arguments_for(handler, {"data": None})
    with pytest.raises(WrongData):
        arguments_for(taking(int), {})


class Callable:
    def __call__(self, consumer, request, data: "Point"): ...

    def method(self, consumer, request, data: "Point"): ...


class Unhashable(Callable):
    __hash__ = None


def function(prefix, consumer, request, data: "Point"): ...


@wraps(function)
def decorated(**kwargs): ...


@pytest.mark.parametrize(
    "handler", [Callable(), Callable().method, Unhashable(), partial(function, "x"), partial(Callable()), decorated]
)
def test_whatever_is_called_may_declare_its_data(handler):
    assert arguments_for(handler, {"data": {"x": 1}})["data"] == Point(1)


def test_a_callable_of_c_gets_the_request_alone():
    assert arguments_for(dict, {"data": 1}) == {"request": {"data": 1}}


def test_hints_for_type_checkers_alone_do_no_harm():
    def handler(consumer: "Consumer", request: "dict[str, Any]", data: "Named"): ...

    assert arguments_for(handler, {"data": {"name": "ada"}})["data"] == {"name": "ada"}


def test_a_hint_that_nobody_knows_is_the_handlers_mistake():
    with pytest.raises(NameError, match="Consumer"):
        arguments_for(taking("Consumer"), {"data": 1})
