"""An operation on its way: its steps, their results in any order, and how it ends."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.redis.commands import Command
from fairway.layers.redis.operations import Await, Steps
from fairway.layers.redis.runs import Run

A, B = Command("#0", "a", []), Command("#0", "b", [])
WAIT = Await("#0", "me/1")


class Carrier:
    """A line that carries nothing: a test gives the results."""

    def __init__(self) -> None:
        self.sent: list[tuple[Command, Callable[[Any], None]]] = []
        self.awaited: dict[Await, Callable[[Any], None]] = {}
        self.is_lost = False
        self.ended: list[Run] = []

    def request(self, command: Command, on_result: Callable[[Any], None] | None) -> Any:
        return command, on_result

    def send_soon(self, requests: Sequence[Any]) -> None:
        if self.is_lost:
            raise LayerUnavailable("lost")
        self.sent += requests

    def await_answer(self, awaited: Await, on_answer: Callable[[Any], None]) -> None:
        self.awaited[awaited] = on_answer

    def forget_answer(self, awaited: Await) -> None:
        del self.awaited[awaited]

    def begin(self, steps: Steps) -> Run:
        run = Run(self, steps, self.ended.append)
        self.sent += run.begin()
        return run

    def give(self, *results: Any) -> list[Command]:
        """Answer what was sent, the last command first; return what it was."""
        sent, self.sent = self.sent, []
        for (_, on_result), result in reversed(list(zip(sent, results, strict=True))):
            on_result(result)
        return [command for command, _ in sent]


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


def test_each_step_is_given_its_results_in_the_order_of_its_commands(carrier: Carrier) -> None:
    def steps() -> Steps:
        first = yield [A, B]
        second = yield [B]
        return first, second

    run = carrier.begin(steps())
    assert carrier.give(1, 2) == [A, B]
    assert not run.is_over
    assert carrier.give(3) == [B]
    assert run.outcome() == ([1, 2], [3])
    assert carrier.ended == [run]


def test_a_step_without_commands_is_none(carrier: Carrier) -> None:
    def steps() -> Steps:
        nothing = yield []
        return nothing

    run = carrier.begin(steps())
    assert run.is_over
    assert run.outcome() == []


def test_whoever_begins_a_run_sees_that_it_is_over(carrier: Carrier) -> None:
    """And is not called for it."""

    def steps() -> Steps:
        raise ValueError("wrong from the beginning")
        yield []

    run = carrier.begin(steps())
    with pytest.raises(ValueError, match="wrong from the beginning"):
        run.outcome()
    assert carrier.ended == []


def test_an_answer_is_waited_for(carrier: Carrier) -> None:
    def steps() -> Steps:
        yield [A]
        return (yield WAIT)

    run = carrier.begin(steps())
    carrier.give(1)
    carrier.awaited[WAIT](b"said")
    assert run.outcome() == b"said"


def test_an_exception_in_a_step_is_the_outcome(carrier: Carrier) -> None:
    def steps() -> Steps:
        (result,) = yield [A]
        raise ValueError(result)

    run = carrier.begin(steps())
    carrier.give("no")
    assert carrier.ended == [run]
    with pytest.raises(ValueError, match="no"):
        run.outcome()


def test_one_command_that_fails_ends_the_run_when_all_have_been_answered(carrier: Carrier) -> None:
    ended = []

    def steps() -> Steps:
        try:
            yield [A, B]
        finally:
            ended.append("steps")

    run = carrier.begin(steps())
    (_, first), (_, second) = carrier.sent
    second(LayerUnavailable("refused"))
    assert not run.is_over
    first(1)
    assert ended == ["steps"]
    with pytest.raises(LayerUnavailable, match="refused"):
        run.outcome()


def test_a_step_that_cannot_be_sent_ends_the_run(carrier: Carrier) -> None:
    def steps() -> Steps:
        yield [A]
        yield [B]

    run = carrier.begin(steps())
    carrier.is_lost = True
    carrier.give(1)
    with pytest.raises(LayerUnavailable, match="lost"):
        run.outcome()


def test_a_run_that_is_stopped_takes_no_further_step(carrier: Carrier) -> None:
    def steps() -> Steps:
        yield [A]
        yield [B]

    run = carrier.begin(steps())
    run.stop()
    carrier.give(1)
    assert carrier.sent == []
    assert carrier.ended == []


def test_a_run_that_is_stopped_waits_for_no_answer(carrier: Carrier) -> None:
    def steps() -> Steps:
        yield [A]
        yield WAIT

    run = carrier.begin(steps())
    carrier.give(1)
    run.stop()
    assert carrier.awaited == {}
