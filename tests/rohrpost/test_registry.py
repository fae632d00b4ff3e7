"""Which handler takes which type of message."""

import pytest

from fairway.rohrpost.registry import HANDLERS, rohrpost_handler


def handle_it(consumer, request):
    pass


@pytest.mark.parametrize(
    ("decorator", "names"),
    [
        (rohrpost_handler(), ["handle_it"]),
        (rohrpost_handler(""), ["handle_it"]),
        (rohrpost_handler([]), ["handle_it"]),
        (rohrpost_handler([""]), ["handle_it"]),
        (rohrpost_handler("one"), ["one"]),
        (rohrpost_handler(name="one"), ["one"]),
        (rohrpost_handler(["one", "two"]), ["one", "two"]),
        (rohrpost_handler(("one", "one")), ["one"]),
    ],
)
def test_names(decorator, names):
    before = set(HANDLERS)
    assert decorator(handle_it) is handle_it
    assert set(HANDLERS) - before == set(names)
    assert {HANDLERS[name] for name in names} == {handle_it}


def test_a_plain_dict_holds_the_handlers():
    assert type(HANDLERS) is dict
    assert HANDLERS["ping"].__name__ == "handle_ping"


@pytest.mark.parametrize("names", ["ping", ["one", "ping"], ["ping", "one"]])
def test_a_name_that_is_taken_is_refused_and_none_is_registered(names):
    before = dict(HANDLERS)
    with pytest.raises(ValueError, match=r'^Handler for "ping" is already defined: fairway\.rohrpost\.handlers\.'):
        rohrpost_handler(names)(handle_it)
    assert before == HANDLERS


def test_what_is_no_function_is_named_all_the_same():
    class Handler:
        def __call__(self, consumer, request): ...

    rohrpost_handler("one")(Handler())
    with pytest.raises(ValueError, match=r"already defined: tests\.rohrpost\.test_registry\..*Handler object"):
        rohrpost_handler("one")(handle_it)


def test_without_parentheses_it_says_what_is_missing():
    with pytest.raises(TypeError, match=r"write @rohrpost_handler\(\) above tests\.rohrpost\.test_registry\.handle_it"):
        rohrpost_handler(handle_it)
