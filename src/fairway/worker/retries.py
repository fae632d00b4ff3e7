"""Trying again what has failed: how often, after which pauses, and for which exceptions.

A consumer that is retried does its work whole or not at all. What a failed run sent is dropped, its message comes again
after a pause that grows, and when the retries are used up the message is a dead letter that says why. Nothing of this
is looked at before a consumer has failed.

It is the failure of the *code* that is meant here. A worker that dies, or a thread over its time limit, is counted by
`Message.attempt` and bounded by the layer.
"""

from dataclasses import dataclass

from fairway.broker.effects import Again
from fairway.errors import Decision

LONGEST_REASON = 200
"""Characters of what a dead letter says about the failure."""

MOST_TIMES = 1000
LONGEST_PAUSE = 24 * 3600.0
"""A message that waits is held by the layer, in memory: for longer there is the delay server."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How a consumer that fails is tried again.

    Parameters:
        times: how many more runs a message has after the first; 0 makes it a dead letter when it fails.
        pause: seconds before the first of them.
        factor: by how much each pause is longer than the one before.
        longest: seconds that no pause exceeds.
        on: the exceptions after which a consumer is tried again, a class or a tuple of them; after others it ends as
            one without retries.

    Raises:
        TypeError: a value is of a wrong type.
        ValueError: a number is out of range.
    """

    times: int = 5
    pause: float = 1.0
    factor: float = 2.0
    longest: float = 600.0
    on: type[Exception] | tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        """Check the values, where whoever wrote them sees it."""
        if type(self.times) is not int or not 0 <= self.times <= MOST_TIMES:
            _refuse("times", self.times, f"give a whole number from 0 to {MOST_TIMES}", is_type=type(self.times) is int)
        _check_number("pause", self.pause, 0, LONGEST_PAUSE)
        _check_number("factor", self.factor, 1, 1000)
        _check_number("longest", self.longest, 0, LONGEST_PAUSE)
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        if not kinds or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            _refuse("on", self.on, "give an exception class, or a tuple of them", is_type=False)

    def covers(self, error: BaseException) -> bool:
        """Say whether a consumer that has raised `error` is tried again. Decisions keep their own meaning."""
        return isinstance(error, self.on) and not isinstance(error, Decision)

    def pause_after(self, retries: int) -> float:
        """Return how many seconds to wait before the next run of a message that has been retried so often before."""
        try:
            return min(self.longest, self.pause * float(self.factor) ** retries)
        except OverflowError:
            return self.longest if self.pause else 0.0

    def again(self, retries: int, error: BaseException) -> Again:
        """Return how the message of a failed run is committed, the one after so many retries."""
        runs = "once" if retries == 0 else f"{retries + 1} times"
        return Again(self.pause_after(retries), self.times, f"failed {runs}: {describe_error(error)}"[:LONGEST_REASON])


def as_retry(value: object) -> Retry:
    """Return the `Retry` that somebody wrote, maybe as a number of times.

    Raises:
        TypeError: it is neither.
        ValueError: the number is out of range.
    """
    if isinstance(value, Retry):
        return value
    if type(value) is not int:
        msg = f"retry={value!r:.100}: give how many times to try again, as an int, or a Retry(...)"
        raise TypeError(msg)
    return Retry(value)


def describe_error(error: BaseException) -> str:
    """Return the name and the text of an exception on one line that can be written anywhere."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  whatever its author got wrong
        text = "(its text cannot be had)"
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 10 * LONGEST_REASON]).split())
    name = type(error).__qualname__
    return f"{name}: {line}" if line else name


def _check_number(name: str, value: float, least: float, most: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # nor is "not a number" between them
        _refuse(name, value, f"give a number from {least:g} to {most:g}", is_type=is_number)


def _refuse(name: str, value: object, remedy: str, *, is_type: bool) -> None:
    """Raise; `is_type` says that the value is at least of the right type."""
    msg = f"Retry({name}={value!r:.100}): {remedy}"
    raise (ValueError if is_type else TypeError)(msg)
