"""`login_required`, `permission_required` and `user_passes_test` for consumers. They read like Django's.

They stand on functions, methods and class-based consumers, with and without `async def`. Who is refused:

=====================  ==========================================================================================
``websocket.connect``  403 before the handshake completes; no group is joined
an open WebSocket      the message is not handled, and the socket is closed with 1008
``http.request``       403
any other channel      `PermissionDenied`, which is in the log with its traceback
=====================  ==========================================================================================

`websocket.disconnect` of a connection that was let in is always handled: what was begun has to be ended, even when its
user has lost the permission since. That of one that was refused is not.
"""

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, overload

from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import PermissionDenied

from fairway.consumers import WebsocketConsumer
from fairway.consumers.calls import is_coroutine_function
from fairway.errors import DenyConnection
from fairway.message import Message
from fairway.security.targets import guard_class, message_of
from fairway.worker.state import ConnectionState

logger = logging.getLogger("fairway.security")

Target = TypeVar("Target", bound=Callable[..., Any])
"""A function, a method or a class. It comes back as the same."""

POLICY_VIOLATION = 1008
"""Close code (RFC 6455, 7.4.1)."""

STATE_KEY = "fairway.let_in"
"""In the state of a connection that a guard has let in."""

_ENDS = ("websocket.connect", "websocket.disconnect")

FORBIDDEN = {
    "status": 403,
    "headers": [[b"content-type", b"text/plain; charset=utf-8"]],
    "content": b"403 Forbidden\n",
}


class _Rule:
    """What a user has to be.

    Parameters:
        decorator: the name for messages.
        test: says whether a user may; may be `async def`.
        reason: what the client is told.
        asks_database: the test may block.
    """

    def __init__(
        self, decorator: str, test: Callable[[Any], Any], reason: str = "not allowed", *, asks_database: bool = True
    ) -> None:
        self.decorator = decorator
        self.reason = reason
        is_async = is_coroutine_function(test)
        self._test = async_to_sync(test) if is_async else test
        if is_async:
            self._atest = test
        else:
            self._atest = sync_to_async(test) if asks_database else _at_once(test)

    def guard(self, target: Target) -> Target:
        """Decorate a function, a method or a class."""
        if isinstance(target, type):
            guard_class(target, self._guarded, self.decorator)
            if issubclass(target, WebsocketConsumer) and not target.http_user_and_session:
                target.http_user = True
            return target
        return self._guarded(target)  # type: ignore[return-value]  # it is called as the target is

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if is_coroutine_function(function):

            @wraps(function)
            async def aguarded(*args: Any, **kwargs: Any) -> Any:
                async def run(message: Message) -> Any:
                    if not await self._aadmits(message):
                        return self._refuse(message)
                    return await function(*args, **kwargs)

                message = message_of(args, self.decorator)
                return await (run if _has_user(message) else _with_user(message, run))(message)

            return aguarded

        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            def run(message: Message) -> Any:
                if not self._admits(message):
                    return self._refuse(message)
                return function(*args, **kwargs)

            message = message_of(args, self.decorator)
            return (run if _has_user(message) else _with_user(message, run))(message)

        return guarded

    def _admits(self, message: Message) -> bool:
        if message.channel_name not in _ENDS or message.reply_channel is None:
            return bool(self._test(message.user))
        state = message.state
        return _was_let_in(message, state) or _note(message, state, is_let_in=bool(self._test(message.user)))

    async def _aadmits(self, message: Message) -> bool:
        if message.channel_name not in _ENDS or message.reply_channel is None:
            return bool(await self._atest(message.user))
        state = await message.astate()
        return _was_let_in(message, state) or _note(message, state, is_let_in=bool(await self._atest(message.user)))

    def _refuse(self, message: Message) -> None:
        if message.channel_name == "websocket.disconnect":
            return
        channel, reply_channel = str(message.channel_name), message.reply_channel
        if channel == "websocket.connect":
            raise DenyConnection(self.reason)
        if reply_channel is not None and channel.startswith("websocket."):
            logger.warning("%s: closed %s on path %.200r", self.reason, reply_channel.name, message.get("path"))
            reply_channel.send({"close": POLICY_VIOLATION, "reason": self.reason})
        elif reply_channel is not None and channel == "http.request":
            logger.warning("%s: path %.200r", self.reason, message.get("path"))
            reply_channel.send(FORBIDDEN)
        else:
            msg = f"{self.reason}: a message of {channel!r} was not handled, by {self.decorator}"
            raise PermissionDenied(msg)


@overload
def login_required(function: Target) -> Target: ...
@overload
def login_required(function: None = None) -> Callable[[Target], Target]: ...
def login_required(function: Any = None) -> Any:
    """Let only logged-in users talk to a consumer. With or without parentheses."""
    return _LOGIN.guard if function is None else _LOGIN.guard(function)


def permission_required(perm: str | Iterable[str]) -> Callable[[Target], Target]:
    """Let only users with a permission talk to a consumer.

    Parameters:
        perm: such as "blog.change_post"; or several, all of which a user needs.
    """
    permissions = (perm,) if isinstance(perm, str) else tuple(perm)
    rule = _Rule("permission_required", lambda user: user.has_perms(permissions), "permission denied")
    return rule.guard


def user_passes_test(test: Callable[[Any], Any]) -> Callable[[Target], Target]:
    """Let only those users talk to a consumer for whom `test(user)` is true; it may be `async def`."""
    return _Rule("user_passes_test", test).guard


def _is_authenticated(user: Any) -> bool:
    return bool(user.is_authenticated)


def _at_once(test: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def atest(user: Any) -> Any:
        return test(user)

    return atest


def _was_let_in(message: Message, state: ConnectionState) -> bool:
    return message.channel_name == "websocket.disconnect" and STATE_KEY in state


def _note(message: Message, state: ConnectionState, *, is_let_in: bool) -> bool:
    """Remember who is let in. It is not kept when the consumer, or a guard further in, refuses the connection."""
    if is_let_in and message.channel_name == "websocket.connect":
        state[STATE_KEY] = True
    return is_let_in


def _has_user(message: Message) -> bool:
    """Say whether a decorator further out has seen to the user, without asking for it."""
    return message.find_user is not None or "user" in vars(message)


def _with_user(message: Message, run: Callable[[Message], Any]) -> Callable[[Message], Any]:
    """Decorate `run` so that the message has its user: from the handshake, then from the channel session."""
    from fairway import auth

    if message.channel_name == "http.request":
        return auth.http_session_user(run)
    if message.channel_name == "websocket.connect":
        return auth.channel_session_user_from_http(run)
    if message.reply_channel is not None:
        return auth.channel_session_user(run)
    msg = f"a message of {message.channel_name!r} without a reply channel belongs to no connection, so it has no user"
    raise PermissionDenied(msg)


_LOGIN = _Rule("login_required", _is_authenticated, "login required", asks_database=False)
