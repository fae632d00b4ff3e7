"""Whose session it is that changes a password here, and its sockets: they stay if the session does.

It is known in a request that Fairway runs, and in a consumer of a connection. Whether it goes on can be seen when the
request is over: `update_session_auth_hash`, or a login, gives it the new hash and a new key. To that key its sockets
follow it (`follow_session`), as to any other that it is given: Django does so without a word when `SECRET_KEY` changes.
"""

from collections.abc import Collection
from functools import partial
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.utils.crypto import constant_time_compare

from fairway.auth.logins import LOGGED_OUT, STATE_KEY, close_channels, hash_of, session_group, user_group
from fairway.broker.effects import SaveState
from fairway.http.current import call_when_answered, current_request
from fairway.layers.base import Layer
from fairway.layers.codec import pack_value
from fairway.sessions import session_for_reply_channel
from fairway.sessions.decorators import open_http_session
from fairway.sessions.engines import engine_module
from fairway.worker.outbox import current_outbox, dispatch_effect
from fairway.worker.state import ConnectionState


class Login(NamedTuple):
    """A user as groups and sessions know them."""

    group: str
    id: str
    hash: str

    @classmethod
    def of(cls, user: Any) -> "Login":
        """Return it for a user object, as it is at this moment."""
        return cls(user_group(user.pk), user._meta.pk.value_to_string(user), hash_of(user))  # noqa: SLF001  documented


class Acting(Protocol):
    """A session at work."""

    def channels(self, layer: Layer) -> set[str]:
        """Return its sockets."""

    def keep(self, layer: Layer, channels: Collection[str], login: Login) -> None:
        """Let these sockets of it go on with the login that the user has now."""


def acting_session() -> Acting | None:
    """Return the session that acts here, if there is one that can be known."""
    request = current_request.get()
    if request is not None:
        return RequestSession(request)
    outbox = current_outbox.get()
    if outbox is None or not outbox.is_open or not outbox.delivery.envelope.reply_channel:
        return None
    envelope = outbox.delivery.envelope
    state = outbox.state if outbox.state is not None else ConnectionState(envelope.reply_channel, envelope.state)
    return ConnectionSession(envelope.reply_channel, state.get(STATE_KEY))


class RequestSession:
    """The HTTP session of a request that Fairway runs."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._keys = http_keys(request)

    def channels(self, layer: Layer) -> set[str]:
        """Return the sockets that were opened in it."""
        return {channel for key in self._keys for channel in layer.group_channels(session_group(key))}

    def keep(self, layer: Layer, channels: Collection[str], login: Login) -> None:
        """When the request is over, let the sockets go on; close them if the session has not lived on."""
        call_when_answered(self._request, partial(self._settle, layer, channels, login))

    def _settle(self, layer: Layer, channels: Collection[str], login: Login) -> None:
        key = self._request.session.session_key
        found = stored_login(key)
        if found is None or found.id != login.id or not constant_time_compare(found.hash, login.hash):
            close_channels(layer, channels, "session ended")
        elif key in self._keys:  # else `follow_session` does it
            for channel in channels:
                _renew(layer, channel, login)


def follow_session(old: str, new: str | None, layer: Layer) -> None:
    """Take the sockets of a session to its new key.

    Those of another user are closed, and all of them when nobody is logged in there: their session has ended.
    """
    members = set(layer.group_channels(session_group(old)))
    login = stored_login(new) if members else None
    if new is None or login is None:
        close_channels(layer, members, LOGGED_OUT)
        return
    same = members.intersection(layer.group_channels(login.group))
    close_channels(layer, members - same, LOGGED_OUT)
    group = session_group(new)
    for channel in same:
        layer.group_add(group, channel)
        _renew(layer, channel, login, new)
        dispatch_effect(SaveState(channel, {STATE_KEY: pack_value(group, STATE_KEY)}), layer)


def stored_login(session_key: str | None) -> Login | None:
    """Return who is logged in to an HTTP session, as it is stored: a request that failed has not saved its own."""
    stored = open_http_session(session_key) if session_key else None
    if stored is None or not stored.get(SESSION_KEY):
        return None
    pk = get_user_model()._meta.pk.to_python(stored[SESSION_KEY])  # noqa: SLF001  Django documents it
    return Login(user_group(pk), stored[SESSION_KEY], stored.get(HASH_SESSION_KEY, ""))


class ConnectionSession:
    """The session of the connection whose message is consumed here.

    Parameters:
        channel: the connection.
        group: of its HTTP session, None when it was opened without one.
    """

    def __init__(self, channel: str, group: str | None) -> None:
        self._channel = channel
        self._group = group

    def channels(self, layer: Layer) -> set[str]:
        """Return the connection, and those of the same HTTP session."""
        return {self._channel, *(layer.group_channels(self._group) if self._group else ())}

    def keep(self, layer: Layer, channels: Collection[str], login: Login) -> None:
        """Give the sockets' channel sessions the new login."""
        for channel in channels:
            _renew(layer, channel, login)


def http_keys(request: Any) -> set[str]:
    """Return the keys that the HTTP session of a request has, and had when it came; none for any other session."""
    session = getattr(request, "session", None)
    if not isinstance(session, engine_module(settings.SESSION_ENGINE, "SESSION_ENGINE")):
        return set()
    return {key for key in (session.session_key, cookie_of(request)) if key}


def cookie_of(request: Any) -> str | None:
    """Return the session key with which a request came."""
    cookies: dict[str, str] = getattr(request, "COOKIES", {})
    return cookies.get(settings.SESSION_COOKIE_NAME)


def _renew(layer: Layer, channel: str, login: Login, key: str | None = None) -> None:
    """Put the new hash, and the new key where the old one is remembered, into a connection's channel session."""
    session = session_for_reply_channel(channel, layer)
    if session.get(SESSION_KEY) != login.id:
        return
    session[HASH_SESSION_KEY] = login.hash
    if key and settings.SESSION_COOKIE_NAME in session:
        session[settings.SESSION_COOKIE_NAME] = key
    session.save()
