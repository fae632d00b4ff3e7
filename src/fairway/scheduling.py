"""Messages for later: what `Channel.send(delay=…, at=…, key=…)` and `Channel.cancel` say to a delay server.

Such a message travels as any other, on `asgi.delay`, and the delay server keeps it until it is due::

    {"channel": "reports", "content": {...}, "delay": 300000, "due": 1790000000000}
    {"channel": "reports", "content": {...}, "delay": 300000, "due": 1790000000000, "key": "daily", "sent": 17900…}
    {"channel": "reports", "key": "daily", "sent": 17900…, "cancel": True}

`delay` and `due` are milliseconds, `due` since the epoch. It is reckoned on the line that sends, so the time that a
message waits for its consumer to finish, or for a delay server to start, makes nothing later. `sent` is nanoseconds
since the epoch: of two messages with one key on one channel the one that was sent later holds.

All is checked here, because here an error points at the user's own line.
"""

import time
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from msgspec import Raw

from fairway.broker.effects import Send
from fairway.errors import InvalidSchedule, InvalidScheduleType
from fairway.layers.codec import encode_built
from fairway.limits import MessageLimits

DELAY_CHANNEL = "asgi.delay"
"""What delay servers read."""

DELAY_APP = "fairway.delay"

LONGEST_DELAY = timedelta(days=3653)
"""Ten years: what is due later is a mistake in a unit, and no database has to hold it."""

MAX_KEY_LENGTH = 200
"""Characters of a key: room for a name and two UUIDs, little enough for an index."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_NOT_INSTALLED = (
    "a message for later needs the delay server: add 'fairway.delay' to INSTALLED_APPS, run `manage.py migrate`, "
    "and keep `manage.py rundelay` running (`fairway up` and `runserver` do)"
)


def schedule(
    effect: Send, limits: MessageLimits, *, delay: timedelta | None, at: datetime | None, key: str | None
) -> Send:
    """Return the message to the delay server that lets `effect` leave later.

    The connection that `effect` may carry along stays behind: by then its state will be another.

    Raises:
        InvalidSchedule: `delay`, `at` and `key` do not say when, or not so that it can be kept.
        ImproperlyConfigured: `fairway.delay` is not installed.
        MessageTooLarge: with what is added for the delay server.
    """
    wait = _wait(delay, at)
    if wait is None:
        raise InvalidSchedule(f"key={key!r:.100} names a message for later: add delay=timedelta(…) or at=datetime(…)")
    due, pause = wait
    message = {"channel": effect.channel, "content": Raw(effect.body), "delay": pause, "due": due}
    if key is not None:
        message |= {"key": check_key(key), "sent": _stamps.take()}
    return _to_delay_server(message, limits)


def cancellation(channel: str, key: str, limits: MessageLimits) -> Send:
    """Return the message to the delay server that cancels what waits for `channel` under `key`.

    Raises:
        InvalidSchedule: `key` is no key.
        ImproperlyConfigured: `fairway.delay` is not installed.
    """
    message = {"channel": channel, "key": check_key(key), "sent": _stamps.take(), "cancel": True}
    return _to_delay_server(message, limits)


def check_key(key: object) -> str:
    """Return `key` when it may name a message that waits.

    Raises:
        InvalidSchedule: it is empty or too long, or holds a NUL, which no database takes.
        InvalidScheduleType: it is no str.
    """
    if not isinstance(key, str):
        raise InvalidScheduleType(f"a key is a str, not {type(key).__name__}: {key!r:.100}; str(…) makes one")
    if not key:
        raise InvalidSchedule("key='' names nothing: leave key out, or say a name")
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidSchedule(
            f"a key has at most {MAX_KEY_LENGTH} characters, this one has {len(key)}: {key[:60]!r}…; "
            "a hash of it would do"
        )
    if "\0" in key:
        raise InvalidSchedule(f"a key holds no NUL character, and {key[:100]!r} does: leave it out")
    return key


def _wait(delay: timedelta | None, at: datetime | None) -> tuple[int, int] | None:
    """Return when the message is due and how long that is from now, in milliseconds; None when neither is said."""
    if delay is not None:
        if at is not None:
            raise InvalidSchedule(f"delay={delay!r} and at={at!r} both say when: keep one of the two")
        now = _now()
        due = now + _checked_delay(delay)
    elif at is not None:
        moment = _checked_moment(at)
        now = _now()
        if moment - now > LONGEST_DELAY:
            raise InvalidSchedule(f"at={at!r} is more than ten years away: is the year right?")
        due = max(moment, now)
    else:
        return None
    # Rounded up, so that nothing is early.
    return -((_EPOCH - due) // _MILLISECOND), max(1, -((now - due) // _MILLISECOND))


def _checked_delay(delay: object) -> timedelta:
    if isinstance(delay, int | float):
        raise InvalidScheduleType(
            f"delay={delay!r}: is it seconds or milliseconds? Say timedelta(seconds={delay!r}) "
            f"or timedelta(milliseconds={delay!r})"
        )
    if not isinstance(delay, timedelta):
        raise InvalidScheduleType(
            f"a delay is a datetime.timedelta, not {type(delay).__name__}: {delay!r:.100}; for a moment there is at="
        )
    if delay < timedelta(0):
        raise InvalidSchedule(f"delay={delay!r} is negative: send it without a delay, or give a moment with at=")
    if delay > LONGEST_DELAY:
        raise InvalidSchedule(f"delay={delay!r} is more than ten years: is the unit right?")
    return delay


def _checked_moment(at: object) -> datetime:
    if not isinstance(at, datetime):
        raise InvalidScheduleType(
            f"at is a datetime.datetime, not {type(at).__name__}: {at!r:.100}; for a time from now there is delay="
        )
    if timezone.is_aware(at):
        return at
    if settings.USE_TZ:
        raise InvalidSchedule(
            f"at={at!r} has no time zone, and USE_TZ is on: pass it through django.utils.timezone.make_aware()"
        )
    return timezone.make_aware(at)


def _now() -> datetime:
    # With USE_TZ off it is naive, and in the time zone of the system, which astimezone() knows.
    return timezone.now().astimezone(UTC)


def _to_delay_server(message: dict[str, Any], limits: MessageLimits) -> Send:
    # Asked here and not when the process starts, since only who sends for later needs it.
    if not apps.is_installed(DELAY_APP):
        raise ImproperlyConfigured(_NOT_INSTALLED)
    return Send(DELAY_CHANNEL, encode_built(message, limits))


class _Stamps:
    """Times of sending, of which no two in this process are equal: clocks may tick slowly, or be set back."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = Lock()

    def take(self) -> int:
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last


_stamps = _Stamps()
