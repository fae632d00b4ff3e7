"""What a consumer says about its work in the background: how it is tried again, and how long it may take.

Two attributes of whatever is routed, `retry` and `time_limit`: a class has them as class attributes, a function gets
them from `background`. They are looked at when a consumer has failed, or has run for a while, and never before.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from fairway.worker.retries import Retry, as_retry

Consumer = TypeVar("Consumer", bound=Callable[..., Any])


def background(*, retry: Retry | int | None = None, time_limit: float | None = None) -> Callable[[Consumer], Consumer]:
    """Decorate a consumer, blocking or a coroutine function, that does work in the background.

    Parameters:
        retry: try it again when it fails: how often, or a `Retry` with all the terms.
        time_limit: seconds that one run may take.

    Raises:
        TypeError: a value is of a wrong type, or what is decorated takes no attributes.
        ValueError: a number is out of range, or nothing is said.
    """
    if retry is None and time_limit is None:
        msg = "background() without retry= or time_limit= changes nothing; say one of them, or leave it out"
        raise ValueError(msg)
    said: dict[str, Any] = {}
    if retry is not None:
        said["retry"] = as_retry(retry)
    if time_limit is not None:
        said["time_limit"] = as_time_limit(time_limit)

    def decorate(consumer: Consumer) -> Consumer:
        try:
            for name, value in said.items():
                setattr(consumer, name, value)
        except AttributeError as error:
            msg = f"background(...) is for functions and classes, and {consumer!r:.100} takes no attributes; wrap it"
            raise TypeError(msg) from error
        return consumer

    return decorate


def as_time_limit(value: object) -> float:
    """Return the time limit that somebody wrote, in seconds.

    Raises:
        TypeError: it is no number.
        ValueError: it is not above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"time_limit={value!r:.100}: give seconds, as a number"
        raise TypeError(msg)
    if not value > 0:
        msg = f"time_limit={value!r}: give seconds above 0, or leave it out for no limit"
        raise ValueError(msg)
    return float(value)


def check_background(cls: type) -> None:
    """Check what a class of consumers says, when it is made. A method or a property of one of the names is its own.

    Raises:
        TypeError, ValueError: as `background`.
    """
    for name, check in (("retry", as_retry), ("time_limit", as_time_limit)):
        value = vars(cls).get(name)
        is_member = hasattr(value, "__get__") and not isinstance(value, type)
        if value is not None and not is_member:
            check(value)


def retry_of(consumer: object) -> Retry | None:
    """Return how a consumer is tried again; None when it says nothing of the kind.

    Something else may have the name for reasons of its own, so what would be refused elsewhere is passed over here.
    """
    try:
        return as_retry(getattr(consumer, "retry", None))
    except (TypeError, ValueError):
        return None


def time_limit_of(consumer: object) -> float:
    """Return how many seconds a run of a consumer may take; infinity when it says nothing of the kind."""
    try:
        return as_time_limit(getattr(consumer, "time_limit", None))
    except (TypeError, ValueError):
        return math.inf
