"""Consumers of WebSockets as classes: a hook for each thing that happens to a connection.

Around the hooks stand the `raw_` methods, which take the message as it came: they join and leave the groups, and take
frames and events out of their messages. A hook may be `async def`; then all that handles its message is a coroutine.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, ClassVar, NoReturn

from fairway.channel import Group
from fairway.consumers.base import BaseConsumer
from fairway.consumers.calls import Decorator, any_coroutine_function, is_coroutine_function, resolve
from fairway.consumers.events import bound_handler, handler_of, reserve_names
from fairway.errors import SendNotAvailableOnDemultiplexer
from fairway.message import Message

# The hooks of these classes take `*args: Any, **kwargs: Any`, so that a typed application may override them with the
# arguments of its own routes.

Methods = Callable[[type], tuple[object, ...]]

# Channel name to what finds, in a class, the methods that take part; any of them may be `async def`.
HOOKS: Mapping[str, Methods] = {
    "websocket.connect": attrgetter("raw_connect", "connection_groups", "connect"),
    "websocket.receive": attrgetter("raw_receive", "receive"),
    "websocket.disconnect": attrgetter("raw_disconnect", "connection_groups", "disconnect"),
}

_CHANNELS = {*HOOKS, "websocket.event"}


@lru_cache
def _http_decorators(*, and_session: bool) -> tuple[Decorator, ...]:
    from fairway.auth import channel_and_http_session_user_from_http, channel_session_user_from_http

    return (channel_and_http_session_user_from_http if and_session else channel_session_user_from_http,)


@reserve_names
class WebsocketConsumer(BaseConsumer):
    """A consumer with a method for each thing that happens to a WebSocket.

    Override `connect`, `receive` and `disconnect`, each with or without `async def`; a message of type `chat.message`
    that is sent to a group calls `chat_message(event, **kwargs)` for each member. What the routing captured comes as
    keyword arguments.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {
        "websocket.connect": "raw_connect",
        "websocket.receive": "raw_receive",
        "websocket.event": "raw_event",
        "websocket.disconnect": "raw_disconnect",
    }

    _hooks: ClassVar[Mapping[str, Methods]] = HOOKS

    http_user: bool = False
    """Transfer the user of the HTTP session when the socket connects; `message.user` is then always there."""

    http_user_and_session: bool = False
    """The same, and `message.http_session` too."""

    strict_ordering: bool = False
    """Kept as a name: the messages of a connection are always handled in order."""

    groups: list[str] | None = None
    """Groups that each connection joins."""

    path: str
    """The path of the socket."""

    @classmethod
    def runs_as_coroutine(cls, message: Message) -> bool:
        """Say whether an instance for this message has to be awaited: one of its methods is `async def`."""
        channel = message.channel_name or ""
        find = cls._hooks.get(channel)
        if find is not None and any_coroutine_function(find(cls)):
            return True
        if channel == "websocket.event" and is_coroutine_function(handler_of(cls, message)):
            return True
        # What is left is the method of the mapping, where that is one of the application's own.
        own = cls.method_mapping is not WebsocketConsumer.method_mapping or find is None
        return own and super().runs_as_coroutine(message)

    @classmethod
    def handles_event(cls, message: Message) -> bool:
        """Say whether there is a handler for the typed group message in `message`."""
        return handler_of(cls, message) is not None or cls.raw_event is not WebsocketConsumer.raw_event

    def get_handler(self, message: Message, **kwargs: Any) -> Callable[..., Any]:
        """Return what handles the message, decorated.

        Raises:
            ValueError: `slight_ordering` is set, which there is no more.
        """
        if getattr(self, "slight_ordering", False):
            msg = f"{type(self).__qualname__}.slight_ordering is no more: remove it, messages always come in order"
            raise ValueError(msg)
        self.path = message["path"] if message.channel_name in _CHANNELS else message.get("path", "")
        if self.http_user or self.http_user_and_session:
            self.channel_session_user = True
        return super().get_handler(message, **kwargs)

    def _decorators(self, message: Message) -> tuple[Decorator, ...]:
        """Add those of the HTTP session and of the order."""
        decorators = super()._decorators(message)
        if self.http_user_and_session:
            decorators = (*decorators, *_http_decorators(and_session=True))
        elif self.http_user and ("headers" in message.content or "query_string" in message.content):
            decorators = (*decorators, *_http_decorators(and_session=False))
        elif self.http_user and "http_session" not in vars(message):
            message.http_session = None  # the headers, with the cookies, come with the handshake alone
        if self.strict_ordering:
            from fairway.sessions import enforce_ordering

            decorators = (*decorators, enforce_ordering)
        return decorators

    # --- what happens to a connection ---

    def raw_connect(self, message: Message, **kwargs: Any) -> Any:
        """Join the groups, then call `connect`."""
        if self._is_coroutine:
            return self._aregroup(Group.aadd, message, self.connect, kwargs)
        for group in self._own_groups(self.connection_groups(**kwargs)):
            group.add(message.reply_channel)
        return self.connect(message, **kwargs)

    def connect(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  for who overrides it
        """Decide about the handshake: `connect(message, **kwargs)`.

        This accepts; an override has to accept, send or close by itself.
        """
        self.message.reply_channel.send({"accept": True})

    def raw_receive(self, message: Message, **kwargs: Any) -> Any:
        """Call `receive` with the text or the bytes of the frame.

        Raises:
            KeyError: the message is no frame.
        """
        text = message.content.get("text")
        if text is not None:
            return self.receive(text=text, **kwargs)
        return self.receive(bytes=message.content["bytes"], **kwargs)

    def receive(self, *args: Any, **kwargs: Any) -> Any:
        """Take a frame: `receive(text=None, bytes=None, **kwargs)`, of which one is given. This does nothing."""

    def raw_event(self, message: Message, **kwargs: Any) -> Any:
        """Call the handler of a typed group message; log a warning where there is none."""
        handler = bound_handler(self, message)
        return None if handler is None else handler(message["event"], **kwargs)

    def raw_disconnect(self, message: Message, **kwargs: Any) -> Any:
        """Leave the groups, then call `disconnect`."""
        if self._is_coroutine:
            return self._aregroup(Group.adiscard, message, self.disconnect, kwargs)
        for group in self._own_groups(self.connection_groups(**kwargs)):
            group.discard(message.reply_channel)
        return self.disconnect(message, **kwargs)

    def disconnect(self, *args: Any, **kwargs: Any) -> Any:
        """Learn that the connection has ended: `disconnect(message, **kwargs)`, with `message["code"]`.

        This does nothing.
        """

    # --- groups ---

    def connection_groups(self, *args: Any, **kwargs: Any) -> Iterable[str] | Awaitable[Iterable[str]]:  # noqa: ARG002
        """Return the names of the groups that the connection joins, and leaves at its end."""
        return self.groups or []

    def _own_groups(self, names: Any) -> list[Group]:
        """Return the groups at the layer of the message: a connection is a member where it came from.

        Raises:
            TypeError: what names them is no list.
        """
        if isinstance(names, str | bytes):
            msg = f"the groups of {type(self).__qualname__} are a list of names, not the text {names!r:.100}"
            raise TypeError(msg)
        layer = self.message.channel_layer
        return [Group(name, channel_layer=layer) for name in names or ()]

    async def _aregroup(
        self, change: Callable[..., Awaitable[None]], message: Message, hook: Callable[..., Any], kwargs: dict[str, Any]
    ) -> Any:
        """Join or leave the groups, then call the hook, any of which may be a coroutine."""
        for group in self._own_groups(await resolve(self.connection_groups(**kwargs))):
            await change(group, message.reply_channel)
        return await resolve(hook(message, **kwargs))

    # --- what a connection is sent ---

    def send(self, text: str | None = None, bytes: bytes | None = None, close: bool | int = False) -> None:  # noqa: A002, FBT001, FBT002
        """Send a frame when the consumer has finished.

        Parameters:
            text, bytes: the frame, one or the other.
            close: close the socket after it; True, or a code.

        Raises:
            ValueError: neither text nor bytes; use `close()`.
            SendNotAvailableOnDemultiplexer: this consumer handles a stream, so it answers by its `multiplexer`.
        """
        if "multiplexer" in self.kwargs:
            self._refuse_send()
        self.message.reply_channel.send(_frame(text, bytes, close))

    @classmethod
    def group_send(
        cls,
        name: str,
        text: str | None = None,
        bytes: bytes | None = None,  # noqa: A002
        close: bool | int = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Send a frame to the members of a group of the default layer. Parameters and errors as for `send`."""
        Group(name).send(_frame(text, bytes, close))

    @classmethod
    async def agroup_send(
        cls,
        name: str,
        text: str | None = None,
        bytes: bytes | None = None,  # noqa: A002
        close: bool | int = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Do as `group_send`."""
        await Group(name).asend(_frame(text, bytes, close))

    def close(self, status: bool | int = True, reason: str | None = None) -> None:  # noqa: FBT001, FBT002
        """Close the socket, or refuse one that is connecting.

        Parameters:
            status: True (1000) or a code.
            reason: a text for the client, of at most 123 bytes.
        """
        self.message.reply_channel.send({"close": status} if reason is None else {"close": status, "reason": reason})

    def _refuse_send(self) -> NoReturn:
        msg = (
            f"{type(self).__qualname__}.send() knows no stream, and this consumer is behind a demultiplexer; answer by "
            "the multiplexer that comes in the keyword arguments: multiplexer.send(payload)"
        )
        raise SendNotAvailableOnDemultiplexer(msg)


def _frame(text: str | None, data: bytes | None, close: bool | int) -> dict[str, Any]:  # noqa: FBT001
    """Return the message that sends a frame.

    Raises:
        ValueError: neither text nor data.
    """
    message: dict[str, Any]
    if text is not None:
        message = {"text": text}
    elif data is not None:
        message = {"bytes": data}
    else:
        msg = "send() needs text or bytes; to close the socket without a frame call close()"
        raise ValueError(msg)
    if close:
        message["close"] = close
    return message
