"""An operation on its way: its generator, and the replies that its present step waits for.

A run is begun by whoever wants its outcome, and carried on by the thread that reads the replies: a verb that takes
three steps costs its caller one wait.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from fairway.errors import FairwayError, LayerUnavailable
from fairway.layers.redis.commands import Command
from fairway.layers.redis.operations import Await, Steps


class Carrier(Protocol):
    """What carries the commands of a run."""

    def request(self, command: Command, on_result: Callable[[Any], None] | None) -> Any:
        """Return a command ready to be sent; `on_result` is called with its result, or with the error."""

    def send_soon(self, requests: Sequence[Any]) -> None:
        """Send what has become of a step."""

    def await_answer(self, awaited: Await, on_answer: Callable[[Any], None]) -> None:
        """Wait for an answer; `on_answer` is called with it."""

    def forget_answer(self, awaited: Await) -> None:
        """Wait for it no more."""


class Run:
    """One operation.

    Parameters:
        carrier: the line.
        steps: the generator, not begun.
        on_end: called once when the operation comes to its end, unless it does so in `begin`.
    """

    __slots__ = (
        "_awaited",
        "_carrier",
        "_error",
        "_is_begun",
        "_is_stopped",
        "_on_end",
        "_open",
        "_results",
        "_steps",
        "error",
        "is_over",
        "value",
    )

    def __init__(self, carrier: Carrier, steps: Steps, on_end: "Callable[[Run], None]") -> None:
        self._carrier = carrier
        self._steps = steps
        self._on_end = on_end
        self._results: list[Any] = []
        self._open = 0
        self._error: FairwayError | None = None
        self._awaited: Await | None = None
        self._is_begun = False
        self._is_stopped = False
        self.is_over = False
        self.value: Any = None
        self.error: Exception | None = None

    def begin(self) -> list[Any]:
        """Return the requests of the first step; none when there is nothing to send, and so it is over."""
        requests = self._step(None)
        self._is_begun = True
        return requests

    def stop(self) -> None:
        """Take no further step: nobody wants the outcome."""
        self._is_stopped = True
        if self._awaited:
            self._carrier.forget_answer(self._awaited)

    def outcome(self) -> Any:
        """Return what the operation has come to, or raise it."""
        if self.error:
            raise self.error
        return self.value

    def _step(self, given: Any) -> list[Any]:
        while True:
            try:
                asked = self._steps.send(given)
            except StopIteration as end:
                self._end(end.value, None)
                return []
            except Exception as error:  # noqa: BLE001  it is raised where the outcome is wanted
                self._end(None, error)
                return []
            if isinstance(asked, Await):
                self._awaited = asked
                self._carrier.await_answer(asked, self._go_on)
                return []
            if asked:
                self._results = [None] * len(asked)
                self._open = len(asked)
                request = self._carrier.request
                return [request(command, partial(self._take, place)) for place, command in enumerate(asked)]
            given = []

    def _take(self, place: int, result: Any) -> None:
        if isinstance(result, FairwayError):
            self._error = result
        self._results[place] = result
        self._open -= 1
        if self._open == 0:
            if self._error:
                self._steps.close()
                self._end(None, self._error)
            else:
                self._go_on(self._results)

    def _go_on(self, given: Any) -> None:
        self._awaited = None
        if self._is_stopped:
            return
        requests = self._step(given)
        if requests:
            try:
                self._carrier.send_soon(requests)
            except LayerUnavailable as error:
                self._end(None, error)

    def _end(self, value: Any, error: Exception | None) -> None:
        self.is_over, self.value, self.error = True, value, error
        if self._is_begun:
            self._on_end(self)
