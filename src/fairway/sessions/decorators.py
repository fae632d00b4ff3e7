"""Decorators that give a consumer's message its sessions.

============================  =====================================================================================
``channel_session``           the session of the connection: `message.channel_session`
``http_session``              the session of the browser, where the message has its cookie: `message.http_session`
``channel_and_http_session``  both, and the browser's also in the connection's later messages
``enforce_ordering``          a name that older code has: a connection's messages come in order anyway
============================  =====================================================================================

They work on functions and methods, with and without `async def`, and may be nested and repeated. Coroutines have their
sessions loaded before they begin, so that looking at one does not block.
"""

from collections.abc import Callable
from typing import Any, overload

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import SuspiciousOperation
from django.http import QueryDict, parse_cookie

from fairway.message import Message
from fairway.sessions.around import Consumer, Step, around
from fairway.sessions.engines import aopen_session, engine_module, prepare_session

_PARAMETER = "session_key"


class ChannelSession(Step):
    """`message.channel_session`; saved whether the consumer returns or raises."""

    def enter(self, message: Message) -> None:
        """Let the session be opened when it is looked at, unless that was done further out."""
        if vars(message).get("channel_session") is None:
            prepare_session(message)

    async def aenter(self, message: Message) -> None:
        """Do as `enter`."""
        if vars(message).get("channel_session") is None:
            message.channel_session = await aopen_session(message)

    def leave(self, message: Message, *, failed: bool) -> None:  # noqa: ARG002  saved in any case
        """Save what has changed; what is empty now is removed."""
        session = vars(message).get("channel_session")
        if session is not None and session.modified:
            session.modified = False  # one try: when it fails here, it fails further out as well
            if session.is_empty():
                session.delete()
            else:
                session.save()

    async def aleave(self, message: Message, *, failed: bool) -> None:  # noqa: ARG002
        """Do as `leave`."""
        session = vars(message).get("channel_session")
        if session is not None and session.modified:
            session.modified = False
            if session.is_empty():
                await session.adelete()
            else:
                await session.asave()


class HttpSession(Step):
    """`message.http_session`, None where the message has no key of one; saved unless the consumer raises."""

    def enter(self, message: Message) -> None:
        """Find the session, unless that was done further out."""
        if "http_session" not in vars(message):
            message.http_session = http_session_of(message)

    async def aenter(self, message: Message) -> None:
        """Do as `enter`."""
        if "http_session" not in vars(message):
            session = http_session_of(message)
            if session is not None:
                await session.akeys()
            message.http_session = session

    def leave(self, message: Message, *, failed: bool) -> None:
        """Save what has changed."""
        session = None if failed else message.http_session
        if session is not None and session.modified and not session.is_empty():
            session.save()
            session.modified = False

    async def aleave(self, message: Message, *, failed: bool) -> None:
        """Do as `leave`."""
        session = None if failed else message.http_session
        if session is not None and session.modified and not session.is_empty():
            await session.asave()
            session.modified = False


class RememberedHttpSession(Step):
    """The HTTP session of the connect, in the connection's later messages: its key is kept in the channel session."""

    def enter(self, message: Message) -> None:
        """Keep the key of the session that there is, or find the session of the key that was kept."""
        key = self._key_to_open(message)
        if key is not None:
            message.http_session = open_http_session(key)

    async def aenter(self, message: Message) -> None:
        """Do as `enter`."""
        await message.channel_session.akeys()
        key = self._key_to_open(message)
        if key is not None:
            session = open_http_session(key)
            await session.akeys()
            message.http_session = session

    def _key_to_open(self, message: Message) -> str | None:
        name = settings.SESSION_COOKIE_NAME
        if message.http_session is None:
            key: str | None = message.channel_session.get(name)
            return key
        if name not in message.channel_session:
            message.channel_session[name] = message.http_session.session_key
        return None


class Ordered(Step):
    """A check that the message has its place in the connection's order."""

    def enter(self, message: Message) -> None:
        """Raise `ValueError` when it has none."""
        if "order" not in message:
            msg = f"enforce_ordering needs a message of a connection, with 'order', not {message!r}"
            raise ValueError(msg)

    async def aenter(self, message: Message) -> None:
        """Do as `enter`."""
        self.enter(message)


CHANNEL_SESSION = ChannelSession()
HTTP_SESSION = HttpSession()
REMEMBERED = RememberedHttpSession()
_ORDERED = Ordered()


def channel_session(func: Consumer) -> Consumer:
    """Give the message its `channel_session`, a session that lives as long as the connection.

    It is saved when the consumer ends, also when it raised, if it was modified.

    Raises (the decorated consumer):
        ValueError: it was called without a message, or the message came from no connection.
        MessageTooLarge: the session is too large for the connection's state; what was stored stays.
    """
    return around(func, "channel_session", CHANNEL_SESSION)


def http_session(func: Consumer) -> Consumer:
    """Give the message the `http_session` of the browser: that of its cookie, or of a GET parameter `session_key`.

    It is None where the message has neither: none is created. Saved after the consumer if it was modified, not when it
    raised.

    Raises (the decorated consumer):
        ValueError: it was called without a message, or the message is no request and of no WebSocket.
    """
    return around(func, "http_session", HTTP_SESSION)


def channel_and_http_session(func: Consumer) -> Consumer:
    """Give the message both sessions, the HTTP session also where only the connection's first message had its key.

    Raises (the decorated consumer):
        ValueError, MessageTooLarge: as `channel_session` and `http_session`.
    """
    return around(func, "channel_and_http_session", HTTP_SESSION, CHANNEL_SESSION, REMEMBERED)


@overload
def enforce_ordering(func: Consumer, slight: bool = False) -> Consumer: ...  # noqa: FBT001, FBT002
@overload
def enforce_ordering(func: None = None, slight: bool = False) -> Callable[[Consumer], Consumer]: ...  # noqa: FBT001, FBT002


def enforce_ordering(func: Any = None, slight: bool = False) -> Any:  # noqa: FBT001, FBT002  the old signature
    """Do as `channel_session`: the messages of a connection come one at a time and in order, with or without this.

    Parameters:
        func: the consumer; without it a decorator is returned.
        slight: no longer there.

    Raises:
        ValueError: `slight`; and from the decorated consumer, as `channel_session`, or without an `order`.
    """
    if slight:
        msg = "slight ordering is gone: the messages of a connection always come in order, leave slight=True out"
        raise ValueError(msg)
    if func is None:
        return lambda consumer: around(consumer, "enforce_ordering", _ORDERED, CHANNEL_SESSION)
    return around(func, "enforce_ordering", _ORDERED, CHANNEL_SESSION)


def http_session_of(message: Message) -> SessionBase | None:
    """Return the HTTP session whose key the message has, not loaded; None without a key.

    Raises:
        ValueError: the message is no request and of no WebSocket.
    """
    content = message.content
    if "path" not in content:
        msg = f"http_session needs a request or a message of a WebSocket, with 'path', not {message!r}"
        raise ValueError(msg)
    content.setdefault("method", "FAKE")  # so that consumers can make a request of it
    key = None
    if content.get("query_string"):
        key = _key_in_query(content["query_string"])
    if not key and content.get("headers"):
        key = _cookies(content["headers"]).get(settings.SESSION_COOKIE_NAME)
    return open_http_session(key) if key else None


def open_http_session(key: str | None) -> SessionBase:
    """Return the store for a key in Django's session engine, not loaded; without a key an empty one."""
    return engine_module(settings.SESSION_ENGINE, "SESSION_ENGINE")(key)


def _key_in_query(query: bytes | str) -> str | None:
    marks: tuple[Any, Any] = (_PARAMETER, "%") if isinstance(query, str) else (_PARAMETER.encode(), b"%")
    if not any(mark in query for mark in marks):
        return None
    try:
        key: str | None = QueryDict(query).get(_PARAMETER)
    except SuspiciousOperation as error:
        msg = f"the query string cannot be read: {error}"
        raise ValueError(msg) from error
    return key


def _cookies(headers: Any) -> dict[str, str]:
    """Read the cookies as a request does."""
    from django.core.handlers.wsgi import get_str_from_wsgi

    from fairway.http.request import add_headers

    meta: dict[str, Any] = {}
    add_headers(meta, headers.items() if isinstance(headers, dict) else headers)
    return parse_cookie(get_str_from_wsgi(meta, "HTTP_COOKIE", ""))
