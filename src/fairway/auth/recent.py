"""Users that were loaded a moment ago, so that a busy socket costs no query per message.

A user is known by the login in the session: backend, id, and the hash that ties the session to the password. Whoever
asks gets a copy of their own. What is kept is at most `CHANNEL_USER_MAX_AGE` seconds old (5; 0 asks the database each
time); a user who is saved or deleted in this process is forgotten at once, one that another process saves when that
age is reached. Inside a transaction, which may see and lose what nobody else does, nothing is kept.
"""

import copy
import time
from threading import Lock
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction

from fairway.conf import read_setting

MAX_USERS = 1024
"""Users that are kept; the one that was loaded longest ago goes first."""

DEFAULT_MAX_AGE = 5


class Login(NamedTuple):
    """What a session says about who is logged in."""

    backend: str
    user_id: str
    session_hash: str


class Loaded(NamedTuple):
    """A user, and when they were about to be loaded."""

    user: Any
    moment: float


class RecentUsers:
    """The users of one process. Threads share it: reading takes no lock, since what is found is never changed."""

    def __init__(self) -> None:
        self._users: dict[str, dict[Login, Loaded]] = {}
        self._lock = Lock()
        self._forgotten = 0
        self._watched: set[type] = set()

    def __len__(self) -> int:
        """Return how many users are kept."""
        return len(self._users)

    def find(self, login: Login, max_age: float) -> Any:
        """Return a copy of the user of a login, None if there is none that is young enough."""
        loaded = self._users.get(login.user_id, {}).get(login)
        if loaded is None or time.monotonic() - loaded.moment > max_age or _in_transaction(loaded.user):
            return None
        return copy.copy(loaded.user)

    def begin(self) -> tuple[float, int]:
        """Return what `keep` wants to know of the time before the user was loaded."""
        self._watch()
        return time.monotonic(), self._forgotten

    def keep(self, login: Login, user: Any, begun: tuple[float, int], max_age: float) -> None:
        """Keep a copy of a user, unless somebody was forgotten since `begun`: this one may be what they were."""
        if _in_transaction(user):
            return
        moment, forgotten = begun
        with self._lock:
            if forgotten != self._forgotten:
                return
            others = self._users.pop(login.user_id, {})
            young = {known: loaded for known, loaded in others.items() if moment - loaded.moment <= max_age}
            self._users[login.user_id] = {**young, login: Loaded(copy.copy(user), moment)}
            if len(self._users) > MAX_USERS:
                del self._users[next(iter(self._users))]

    def forget(self, user_id: str) -> None:
        """Forget a user."""
        with self._lock:
            self._forgotten += 1
            self._users.pop(user_id, None)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._forgotten += 1
            self._users.clear()

    def _watch(self) -> None:
        """Hear of changes, from the first user on: receivers are connected to the models of users and to no other.

        One for all models would make Django delete the rows of every table one by one.
        """
        from django.apps import apps
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_delete, post_save

        model = get_user_model()
        if model in self._watched:
            return
        self._watched.add(model)
        concrete = model._meta.concrete_model or model  # noqa: SLF001  Django documents it
        for known in apps.get_models():
            if issubclass(known, concrete):
                for signal in (post_save, post_delete):
                    signal.connect(_forget_changed, sender=known, dispatch_uid="fairway.auth")


def user_max_age() -> float:
    """Return the setting `CHANNEL_USER_MAX_AGE`.

    Raises:
        ImproperlyConfigured: it is no number, or below 0.
    """
    value = read_setting("CHANNEL_USER_MAX_AGE", DEFAULT_MAX_AGE)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        msg = f"CHANNEL_USER_MAX_AGE is a number of seconds, 0 for a query with each message, not {value!r}"
        raise ImproperlyConfigured(msg)
    return value


RECENT = RecentUsers()


def clear_user_cache() -> None:
    """Forget all users: the next message of each of them asks the database."""
    RECENT.clear()


def _forget_changed(*, instance: Any, using: str, **_kwargs: Any) -> None:
    user_id = instance._meta.pk.value_to_string(instance)  # noqa: SLF001  Django documents it
    RECENT.forget(user_id)
    # Until the commit others load, and keep, what the user was.
    if connections[using].in_atomic_block:
        transaction.on_commit(lambda: RECENT.forget(user_id), using=using, robust=True)


def _in_transaction(user: Any) -> bool:
    state = getattr(user, "_state", None)
    alias = getattr(state, "db", None)
    return alias is not None and connections[alias].in_atomic_block
