"""Users that were loaded a moment ago, so that a busy socket costs no query per message.

A user is known by the login in the session: backend, id, and the hash that ties the session to the password. Whoever
asks gets a copy of their own. What is kept is at most `CHANNEL_USER_MAX_AGE` seconds old (5; 0 asks the database each
time); a user who is saved or deleted in this process is forgotten at once, one that another process saves when that
age is reached. Inside a transaction, which may see and lose what nobody else does, nothing is kept.
"""

import copy
import time
from datetime import date, timedelta
from datetime import time as datetime_time
from decimal import Decimal
from threading import Lock
from types import NoneType
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.models import Model
from django.db.models.base import ModelState

from fairway.conf import read_setting
from fairway.database import opened_connections

MAX_USERS = 1024
"""Users that are kept; the one that was loaded longest ago goes first."""

DEFAULT_MAX_AGE = 5

_UNCHANGEABLE = (str, int, float, bytes, NoneType, date, datetime_time, timedelta, Decimal, UUID)
"""Types whose values all copies of a user may share."""


class Login(NamedTuple):
    """What a session says about who is logged in."""

    backend: str
    user_id: str
    session_hash: str


class Kept:
    """A user as they were loaded. Each copy has values of its own where those can be changed in place.

    What refers to the user, as a tracker of changed fields does, refers to the copy in the copy.

    What was loaded along with the user (`select_related`) is not kept: it is loaded anew where it is looked at.

    Parameters:
        user: a model instance, as it comes from the database.
        alias: of that database.
        moment: when it was about to be loaded.
    """

    __slots__ = ("_fixed", "_kind", "_other", "_self", "alias", "moment")

    def __init__(self, user: Model, alias: str, moment: float) -> None:
        self._kind = type(user)
        self._fixed: dict[str, Any] = {}
        self._other: dict[str, Any] = {}
        self.alias = alias
        self.moment = moment
        for name, value in vars(user).items():
            if name != "_state":
                (self._fixed if isinstance(value, _UNCHANGEABLE) else self._other)[name] = value
        self._self = self._kind.__new__(self._kind)
        """Stands for the user in what is kept."""
        self._other = copy.deepcopy(self._other, {id(user): self._self})

    def copy(self) -> Any:
        """Return a user: as `copy.copy` makes one of a model, in a third of the time."""
        user = self._kind.__new__(self._kind)
        values = vars(user)
        values.update(self._fixed)
        if self._other:
            values.update(copy.deepcopy(self._other, {id(self._self): user}))
        values["_state"] = state = ModelState()
        state.db = self.alias
        state.adding = False
        return user


_NOBODY: dict[Login, Kept] = {}


class RecentUsers:
    """The users of one process. Threads share it: reading takes no lock, since what is found is never changed."""

    def __init__(self) -> None:
        self._users: dict[str, dict[Login, Kept]] = {}
        self._lock = Lock()
        self._forgotten = 0
        self._watched: set[type] = set()

    def __len__(self) -> int:
        """Return how many users are kept."""
        return len(self._users)

    def find(self, login: Login, max_age: float) -> Any:
        """Return a copy of the user of a login, None if there is none that is young enough."""
        kept = self._users.get(login.user_id, _NOBODY).get(login)
        if kept is None or time.monotonic() - kept.moment > max_age:
            return None
        opened = opened_connections().get(kept.alias)
        return None if opened is not None and opened.in_atomic_block else kept.copy()

    def begin(self) -> tuple[float, int]:
        """Return what `keep` wants to know of the time before the user was loaded."""
        self._watch()
        return time.monotonic(), self._forgotten

    def keep(self, login: Login, user: Any, begun: tuple[float, int], max_age: float) -> None:
        """Keep a copy of a user, unless somebody was forgotten since `begun`: this one may be what they were."""
        alias = user._state.db if isinstance(user, Model) else None  # noqa: SLF001
        if alias is None or connections[alias].in_atomic_block:
            return
        moment, forgotten = begun
        try:
            kept = Kept(user, alias, moment)
        except Exception:  # noqa: BLE001  whatever a copy may raise: a project's users may carry locks or connections
            return
        with self._lock:
            if forgotten != self._forgotten:
                return
            others = self._users.pop(login.user_id, {})
            young = {known: other for known, other in others.items() if moment - other.moment <= max_age}
            self._users[login.user_id] = {**young, login: kept}
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
