"""The tree in the docstring is the tree in the code, and each error says what its kind must say."""

import inspect
import pickle
import re
from http import HTTPStatus

import pytest

from fairway import Message, errors
from fairway.errors import (
    ChannelFull,
    ChannelGone,
    ChannelSocketException,
    DeliveryLost,
    FairwayError,
    InvalidMessage,
    MessageTooLarge,
    MissingExtra,
    PeerError,
    WebsocketCloseException,
)

CLASSES = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FairwayError)}


def drawn():
    """Name -> parent, from the drawing in the docstring."""
    parents, line_of = {"FairwayError": ""}, ["FairwayError"]
    for line in errors.__doc__.splitlines():
        found = re.match(r"^    ([│├└─ ]+)(\w+)", line)
        if found:
            level = len(found[1]) // 4
            line_of[level:] = [found[2]]
            parents[found[2]] = line_of[level - 1]
    return parents


def test_the_drawing_shows_every_class_below_its_parent():
    tree = {name: kind.__bases__[0].__name__ for name, kind in CLASSES.items()}
    assert drawn() == {**tree, "FairwayError": ""}


@pytest.mark.parametrize("name", sorted(name for name, kind in CLASSES.items() if issubclass(kind, PeerError)))
def test_a_peers_fault_carries_its_answers(name):
    kind = CLASSES[name]
    error = kind("why")
    assert (error.reason, str(error)) == ("why", "why")
    assert isinstance(error.status, HTTPStatus)
    assert 400 <= error.status < 600
    assert error.close_code in {1002, 1003, 1007, 1008, 1009}
    line = next(line for line in errors.__doc__.splitlines() if f"─ {name} " in line)
    if any(character.isdigit() for character in line):
        assert str(error.close_code) in line
        assert kind.status is PeerError.status or str(int(kind.status)) in line


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_class_has_a_docstring_of_its_own(name):
    assert CLASSES[name].__doc__ != CLASSES[name].__bases__[0].__doc__


def test_what_each_error_tells():
    full, slow = ChannelFull("numbers"), ChannelFull("s1!a", "its client reads slowly")
    assert (full.channel, full.reason, str(full)) == (
        "numbers",
        "at capacity",
        "channel 'numbers' is full (at capacity)",
    )
    assert "reads slowly" in str(slow)
    large = MessageTooLarge("message", 2_000_000, 1_000)
    assert (large.size, large.limit, str(large)) == (
        2_000_000,
        1_000,
        "message: 2,000,000 bytes, above the limit of 1,000",
    )
    extra = MissingExtra("RedisLayer", "redis")
    assert isinstance(extra, ImportError)
    assert "pip install 'fairway[redis]'" in str(extra)
    assert InvalidMessage("no", "a.b").key == "a.b"
    assert ChannelGone("s1!a").channel == "s1!a"


@pytest.mark.parametrize(
    "error", [ChannelFull("a", "b"), MessageTooLarge("message", 2, 1), DeliveryLost("x"), PeerError("x")], ids=repr
)
def test_errors_survive_pickling(error):
    """They cross processes in test runners and task queues."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("code", [None, 1000, 3000, 4999])
def test_a_consumer_may_close_with_the_codes_of_applications(code):
    assert WebsocketCloseException(code)._code == code


@pytest.mark.parametrize("code", [0, 1001, 2999, 5000, "1000", True])
def test_a_consumer_may_close_with_no_other_code(code):
    with pytest.raises(ValueError, match="with 1000 or a code of 3000 to 4999"):
        WebsocketCloseException(code)


def test_only_a_websocket_is_closed():
    with pytest.raises(ValueError, match="this message came on 'work'"):
        WebsocketCloseException().run(Message({"reply_channel": "x"}, "work", None))
    with pytest.raises(ValueError, match="this message came on 'work'"):
        WebsocketCloseException().run(Message({}, "work", None))


def test_the_base_has_no_act():
    with pytest.raises(NotImplementedError):
        ChannelSocketException().run(None)
