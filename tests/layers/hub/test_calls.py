"""Calls of clients, their answers, and errors that arrive as what they were."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Send
from fairway.errors import (
    ChannelFull,
    ChannelGone,
    DeliveryLost,
    FairwayError,
    InvalidName,
    LayerUnavailable,
    MessageTooLarge,
)
from fairway.layers.hub.calls import failure, raised
from fairway.limits import BrokerLimits, ChannelRule
from fairway.wire.hub import Answer, Call, Items, Own, Ping, Pong, Publish
from tests.support.hubs import HubThread, RawLine
from tests.support.waiting import wait_until


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock", BrokerLimits(rules=(("*", ChannelRule(capacity=1)),))) as hub:
        yield hub


@pytest.mark.parametrize(
    "error",
    [
        ChannelFull("c", "at capacity"),
        ChannelGone("c"),
        DeliveryLost("receipt 1 is no longer held"),
        InvalidName("no name"),
        LayerUnavailable("away"),
        MessageTooLarge("a message", 5, 4),
    ],
    ids=repr,
)
def test_an_error_arrives_as_what_it_was(error: FairwayError) -> None:
    found = raised(failure(7, error).error or [])
    assert type(found) is type(error)
    assert str(found) == str(error)


@pytest.mark.parametrize("error", [["ErrorToCome", 1, "x"], ["ChannelFull"], [["x"]], [None]])
def test_an_error_that_is_not_known_is_told_all_the_same(error: list[object]) -> None:
    assert isinstance(raised(error), LayerUnavailable)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("group_add", []),
        ("group_add", ["g", "no name!x!"]),
        ("group_add", [1, 2]),
        ("group_channels", []),
        ("group_channels", ["g", "g"]),
        ("state", [None]),
        ("dead_letters", ["many"]),
        ("dead_letters", [2**64 - 1]),
        ("requeue_dead", [5]),
        ("requeue_dead", [[["x"]]]),
        ("drop_dead", []),
        ("statistics", [1]),
    ],
)
def test_calls_that_make_no_sense(hub: HubThread, verb: str, arguments: list[object]) -> None:
    """They are answered, and the line lives on."""
    with RawLine(hub.path) as line:
        line.say(Call(1, verb, arguments), Ping())
        answer = line.wait_for(Answer)
        assert answer.error
        assert answer.error[0] == "InvalidName"
        line.wait_for(Pong)


@pytest.mark.parametrize("verb", ["close", "__init__", "publish", "locked", "drop_all"])
def test_verbs_that_are_none(hub: HubThread, verb: str) -> None:
    with RawLine(hub.path) as line:
        line.say(Call(1, verb))
        answer = line.wait_for(Answer)
        assert answer.error == ["LayerUnavailable", f"this hub has no {verb!r}: it is older than its client"]


def test_a_question_that_no_server_answers(hub: HubThread) -> None:
    hub.layer.answer_timeout = 0.1
    with RawLine(hub.path) as server, RawLine(hub.path) as line:
        server.say(Own(1, ["s!"]), Call(2, "group_add", ["g", "s!1"]))
        server.wait_for(Items)
        for number, (verb, about) in enumerate([("group_channels", "g"), ("state", "s!1")]):
            line.say(Call(number, verb, [about]))
            answer = line.wait_for(Answer)
            assert answer.error
            assert "a server did not answer a question about its connections within 0.1 s" in answer.error[1]
    assert not hub.layer.locked.waiting


def test_a_question_whose_server_goes_away(hub: HubThread) -> None:
    with RawLine(hub.path) as server, RawLine(hub.path) as line:
        server.say(Own(1, ["s!"]), Call(2, "group_add", ["g", "s!1"]))
        line.say(Call(1, "group_add", ["g", "plain"]))
        line.wait_for(Answer)
        server.wait_for(Items)
        line.say(Call(2, "group_channels", ["g"]))
        server.wait_for(Items)
        server.close()
        assert line.wait_for(Answer) == Answer(2, ["plain"])


def test_whoever_waits_when_the_layer_closes_is_told(hub: HubThread) -> None:
    with RawLine(hub.path) as server, RawLine(hub.path) as line:
        server.say(Own(1, ["s!"]))
        server.wait_for(Answer)
        line.say(Publish(1, Send("c", b"x")), Publish(2, Send("c", b"x"), 60), Call(3, "state", ["s!1"]))
        assert line.wait_for(Answer) == Answer(1)
        server.wait_for(Items)
        hub.layer.close()
        errors = [line.wait_for(Answer).error for _ in range(2)]
    assert errors == [["LayerUnavailable", "the hub stops"]] * 2


def test_waiting_publishes_end_in_time(hub: HubThread) -> None:
    with RawLine(hub.path) as line:
        line.say(Publish(1, Send("c", b"x")), Publish(2, Send("c", b"x"), 0.05))
        line.wait_for(Answer)
        assert line.wait_for(Answer).error == ["ChannelFull", "c", "at capacity"]


def test_whoever_hangs_up_waits_no_more(hub: HubThread) -> None:
    with RawLine(hub.path) as line:
        line.say(Publish(1, Send("c", b"x")), Publish(2, Send("c", b"x"), 60), Ping())
        line.wait_for(Pong)
        assert len(hub.layer.locked.waiting) == 1
    wait_until(lambda: not hub.layer.locked.waiting)
    assert hub.layer.statistics().held_bytes == 1
