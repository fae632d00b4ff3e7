"""What a layer asks of a hub: one frame for each verb, alike in both forms, with the channel that it is about."""

from collections.abc import Callable
from typing import Any

import pytest

from fairway.broker.effects import Effect, Grant, GroupSend, SaveState, Send
from fairway.layers.hub.verbs import HubVerbs, channel_of
from fairway.wire.hub import Call, Frame, Publish

ANSWERS = {"group_channels": ["a"], "state": {"k": b"v"}, "dead_letters": [], "requeue_dead": 1, "drop_dead": 2}


class Asked(HubVerbs):
    """Notes what is asked."""

    is_shared = True

    def __init__(self) -> None:
        self.asked: list[tuple[Frame, float, str]] = []

    def call(self, make: Callable[[int], Frame], timeout: float, generation: int = 0, about: str = "") -> Any:
        assert generation == 0
        frame = make(7)
        self.asked.append((frame, timeout, about))
        return ANSWERS.get(frame.verb) if isinstance(frame, Call) else None

    async def acall(self, make: Callable[[int], Frame], timeout: float, generation: int = 0, about: str = "") -> Any:
        return self.call(make, timeout, generation, about)

    reader = inbox = None  # type: ignore[assignment]

    def close(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize(
    ("verb", "arguments", "frame", "about"),
    [
        ("publish", (Send("s!1", b"x"), 3), Publish(7, Send("s!1", b"x"), 3), "s!1"),
        ("publish", (GroupSend("g", b"x"),), Publish(7, GroupSend("g", b"x"), 0), ""),
        ("group_add", ("g", "s!1"), Call(7, "group_add", ["g", "s!1"]), "s!1"),
        ("group_discard", ("g", "s!1"), Call(7, "group_discard", ["g", "s!1"]), "s!1"),
        ("group_channels", ("g",), Call(7, "group_channels", ["g"]), ""),
        ("state", ("s!1",), Call(7, "state", ["s!1"]), "s!1"),
    ],
)
async def test_both_forms_say_the_same(verb: str, arguments: tuple[Any, ...], frame: Frame, about: str) -> None:
    layer = Asked()
    value = getattr(layer, verb)(*arguments)
    assert value == await getattr(layer, f"a{verb}")(*arguments)
    assert value == ANSWERS.get(verb)
    timeout = arguments[1] if verb == "publish" and len(arguments) > 1 else 0
    assert layer.asked == [(frame, timeout, about)] * 2


def test_what_is_asked_about_the_whole() -> None:
    layer = Asked()
    assert (layer.dead_letters(5), layer.requeue_dead(["a"]), layer.drop_dead(("b",))) == ([], 1, 2)
    layer.flush()
    assert [(frame.verb, frame.arguments) for frame, _, _ in layer.asked if isinstance(frame, Call)] == [
        ("dead_letters", [5]),
        ("requeue_dead", [["a"]]),
        ("drop_dead", [["b"]]),
        ("flush", []),
    ]


@pytest.mark.parametrize(
    ("effect", "channel"),
    [(Send("c", b""), "c"), (GroupSend("g", b""), ""), (SaveState("s!1", {}), "s!1"), (Grant("s!2", 1), "s!2")],
)
def test_the_channel_of_an_effect(effect: Effect, channel: str) -> None:
    assert channel_of(effect) == channel
