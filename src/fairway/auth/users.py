"""Decorators that give a consumer's message its `user`.

===========================================  ======================================================================
``channel_session_user``                     whoever is logged in to the channel session
``http_session_user``                        whoever is logged in to the HTTP session: at the connect only, which has
                                             the cookies
``channel_session_user_from_http``           the same, and copies the login into the channel session
``channel_and_http_session_user_from_http``  the same, and the HTTP session is there in later messages too
===========================================  ======================================================================

In a function nothing is asked for until `message.user` is looked at. In a coroutine it is there beforehand.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, aget_user, get_user
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.module_loading import import_string

from fairway.auth.recent import MAX_USERS, RECENT, Login, user_max_age
from fairway.conf import read_setting
from fairway.message import Message
from fairway.sessions.around import Consumer, Step, around
from fairway.sessions.decorators import CHANNEL_SESSION, HTTP_SESSION, REMEMBERED
from fairway.sessions.store import ChannelSessionStore

__all__ = [
    "channel_and_http_session_user_from_http",
    "channel_session_user",
    "channel_session_user_from_http",
    "http_session_user",
    "transfer_user",
]

SMALL_SESSION = 2048
"""Bytes of a session of which is remembered who is logged in to it."""

_KEYS = (BACKEND_SESSION_KEY, SESSION_KEY, HASH_SESSION_KEY)


def transfer_user(from_session: Any, to_session: Any) -> None:
    """Copy a login from one session to another, if there is one.

    Parameters:
        from_session: where somebody may be logged in.
        to_session: where they are then, too. It is not saved here.
    """
    if all(key in from_session for key in _KEYS):
        for key in _KEYS:
            to_session[key] = from_session[key]


def user_in(session: Any) -> Any:
    """Return the user of a session, `AnonymousUser` when there is none; from the recent ones if they may be used."""
    login = None if session is None else _login_in(session)
    if login is None:
        return _anonymous()
    user = _recent(login)
    if user is None:
        begun = RECENT.begin()
        user = _kept(login, get_user(_request_with(session)), begun)
    return user


async def auser_in(session: Any) -> Any:
    """Do as `user_in`."""
    if session is None:
        return _anonymous()
    await session.akeys()
    login = _login_in(session)
    if login is None:
        return _anonymous()
    user = _recent(login)
    if user is None:
        begun = RECENT.begin()
        user = _kept(login, await aget_user(_request_with(session)), begun)
    return user


def _recent(login: Login) -> Any:
    """Return the user of a login if they were loaded a moment ago, and may be used still; else None."""
    max_age = user_max_age()
    return RECENT.find(login, max_age) if max_age else None


def _kept(login: Login, user: Any, begun: tuple[float, int]) -> Any:
    """Return the user of a login, who was just loaded; keep somebody who is logged in for the next messages."""
    max_age = user_max_age()
    if max_age and user.is_authenticated:
        RECENT.keep(login, user, begun, max_age)
    return user


class _ChannelUser(Step):
    """`message.user` from the channel session. At the connect the same login's user from the handshake is fresher."""

    def enter(self, message: Message) -> None:
        if not _has_user_of_handshake(message):
            vars(message).pop("user", None)
            message.find_user = _user_in_channel_session

    async def aenter(self, message: Message) -> None:
        if not _has_user_of_handshake(message):
            message.user = await auser_in(message.channel_session)


class _HttpUser(Step):
    """`message.user` from the HTTP session. At the connect the login is noted, so that its end ends the socket.

    There the user is as the database has them, and no recent one: groups are joined by what a user may see at the
    connect, and a socket stays in them.
    """

    def enter(self, message: Message) -> None:
        session = message.http_session
        if session is None:
            message.user = _anonymous()
            return
        seen = _Seen(session)
        if message.channel_name != "websocket.connect":
            vars(message).pop("user", None)
            message.find_user = lambda _message: user_in(seen)
            return
        message.user = user_in(seen)
        if message.user.is_authenticated:
            from fairway.auth.logins import note_login

            message.user = note_login(message, message.user, session.session_key)

    async def aenter(self, message: Message) -> None:
        session = message.http_session
        if session is None:
            message.user = _anonymous()
            return
        message.user = await auser_in(_Seen(session))
        if message.channel_name == "websocket.connect" and message.user.is_authenticated:
            from fairway.auth.logins import anote_login

            message.user = await anote_login(message, message.user, session.session_key)


def _user_in_channel_session(message: Message) -> Any:
    return user_in(message.channel_session)


class _Transfer(Step):
    """The login of the HTTP session, copied into the channel session."""

    def enter(self, message: Message) -> None:
        if message.http_session is not None:
            transfer_user(message.http_session, message.channel_session)

    async def aenter(self, message: Message) -> None:
        if message.http_session is not None:
            await message.channel_session.akeys()
            transfer_user(message.http_session, message.channel_session)  # loaded, both of them


_CHANNEL_USER = _ChannelUser()
_HTTP_USER = _HttpUser()
_TRANSFER = _Transfer()


def channel_session_user(func: Consumer) -> Consumer:
    """Give the message its `channel_session`, and the `user` who is logged in to it.

    Raises (the decorated consumer):
        ValueError, MessageTooLarge: as `channel_session`.
    """
    return around(func, "channel_session_user", CHANNEL_SESSION, _CHANNEL_USER)


def http_session_user(func: Consumer) -> Consumer:
    """Give the message the browser's `http_session`, and the `user` who is logged in to it.

    On a socket only the connect has cookies; see `channel_session_user_from_http`.

    Raises (the decorated consumer):
        ValueError: as `http_session`.
    """
    return around(func, "http_session_user", HTTP_SESSION, _HTTP_USER)


def channel_session_user_from_http(func: Consumer) -> Consumer:
    """Do as `http_session_user`, and log the user in to the channel session: for `websocket.connect`.

    Consumers of the connection's other messages then use `channel_session_user`.

    Raises (the decorated consumer):
        ValueError, MessageTooLarge: as `channel_session` and `http_session`.
    """
    return around(func, "channel_session_user_from_http", HTTP_SESSION, _HTTP_USER, CHANNEL_SESSION, _TRANSFER)


def channel_and_http_session_user_from_http(func: Consumer) -> Consumer:
    """Do as `channel_session_user_from_http`, with the HTTP session in later messages too (their user is not from it).

    Raises (the decorated consumer):
        ValueError, MessageTooLarge: as `channel_session` and `http_session`.
    """
    steps = (HTTP_SESSION, _HTTP_USER, CHANNEL_SESSION, REMEMBERED, _TRANSFER)
    return around(func, "channel_and_http_session_user_from_http", *steps)


class _Seen:
    """An HTTP session as Django's `get_user` may see it.

    Where the login was signed with one of `SECRET_KEY_FALLBACKS`, `get_user` gives the session a new key and renews
    the login. A message on a socket cannot give the browser that key, so the session would be lost to it: the next
    request renews it.
    """

    __slots__ = ("_session",)

    def __init__(self, session: SessionBase) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __getitem__(self, key: str) -> Any:
        return self._session[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Leave it to the next request."""

    async def aset(self, key: str, value: Any) -> None:
        """Leave it to the next request."""

    def cycle_key(self) -> None:
        """Leave it to the next request."""

    async def acycle_key(self) -> None:
        """Leave it to the next request."""


def _has_user_of_handshake(message: Message) -> bool:
    """Say whether the handshake's HTTP session has told the user whom the channel session has, too."""
    if message.channel_name != "websocket.connect" or "user" not in vars(message):
        return False
    session = getattr(message, "http_session", None)
    return session is not None and _login_in(session) == _login_in(message.channel_session)


def _login_in(session: Any) -> Login | None:
    packed = session.unread if type(session) is ChannelSessionStore else None
    if packed and len(packed) <= SMALL_SESSION:
        # Most messages look at the user alone: the session, which is the same each time, is not read again for that.
        login = _login_in_packed(packed, read_setting("SESSION_SERIALIZER"))
    else:
        login = _login_of(session._session)  # noqa: SLF001  one look for three
    return login if login and login.backend in read_setting("AUTHENTICATION_BACKENDS") else None


@lru_cache(maxsize=MAX_USERS)
def _login_in_packed(packed: bytes, serializer: str) -> Login | None:
    try:
        return _login_of(import_string(serializer)().loads(packed))
    except Exception:  # noqa: BLE001  whatever a serializer raises; who looks at the session is told
        return None


def _login_of(data: Mapping[str, Any]) -> Login | None:
    user_id = data.get(SESSION_KEY)
    if not user_id:
        return None
    return Login(str(data.get(BACKEND_SESSION_KEY)), str(user_id), str(data.get(HASH_SESSION_KEY)))


def _request_with(session: Any) -> HttpRequest:
    """Return the stand-in that Django's `get_user` is content with."""
    return cast("HttpRequest", SimpleNamespace(session=session))


def _anonymous() -> Any:
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()
