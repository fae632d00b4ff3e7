"""What a handler finds in its consumer: the connection, as consumers of Channels 3 and 4 know it.

There an object lives as long as its connection, and here as long as a message. So what has to outlive a message stands
in the connection's state: the groups that were joined, and what was known at the handshake.
"""

from functools import cached_property, lru_cache
from typing import Any, Self

from django.apps import apps
from django.utils.functional import SimpleLazyObject

from fairway.channel import Group
from fairway.consumers.events import reserve_names
from fairway.consumers.websocket import WebsocketConsumer
from fairway.message import Message

GROUPS = "rohrpost.groups"
HANDSHAKE = "rohrpost.handshake"
"""Keys of the connection's state."""

CONNECT = "websocket.connect"

_NOT_KEPT = frozenset(
    {
        b"cookie",
        b"authorization",
        b"proxy-authorization",
        b"connection",
        b"upgrade",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-version",
    }
)
"""Headers of the handshake that later messages do not carry along: they are secret, or of no use any more."""

HEADERS_KEPT = 8192
"""Bytes of headers that later messages carry along; one that goes beyond that is left out."""


@lru_cache(maxsize=1)
def _has_users() -> bool:
    return apps.is_installed("django.contrib.auth") and apps.is_installed("django.contrib.sessions")


@reserve_names
class RohrpostConnection(WebsocketConsumer):
    """The half of a rohrpost consumer that its handlers use."""

    http_user: bool | None = None  # type: ignore[assignment]
    """Whether `user` is whoever is logged in to the browser's session; None: where the project has users."""

    def get_handler(self, message: Message, **kwargs: Any) -> Any:
        """Return what handles the message, with the user where there are any."""
        if self.http_user is None:
            self.http_user = _has_users()
        return super().get_handler(message, **kwargs)

    @classmethod
    def as_asgi(cls, **attributes: Any) -> type[Self]:
        """Return the consumer as a target of `path()`, with class attributes of its own if there are any."""
        if not attributes:
            return cls
        return type(
            cls.__name__, (cls,), {"__module__": cls.__module__, "__qualname__": cls.__qualname__, **attributes}
        )

    # --- who and what --------------------------------------------------------------------------------------------

    @property
    def channel_name(self) -> str:
        """The channel that leads to the client."""
        name: str = self.message.reply_channel.name
        return name

    @property
    def channel_layer(self) -> Any:
        """The layer of the connection."""
        return self.message.channel_layer

    @property
    def user(self) -> Any:
        """Who is logged in.

        Raises:
            AttributeError: the project has no users, or `http_user` is False.
        """
        return self.message.user

    @cached_property
    def session(self) -> Any:
        """The session of the browser, not loaded yet; an empty one where the browser has none.

        A handler that changes it has to `save()` it. With `http_user_and_session` that is done for it.

        Raises:
            AttributeError: as `user`.
        """
        from fairway.sessions.decorators import open_http_session

        if self.http_user and not self.http_user_and_session and self.message.channel_name != CONNECT:
            return open_http_session(self._handshake().get("session_key"))
        found = self.message.http_session
        return open_http_session(None) if found is None else found

    @cached_property
    def scope(self) -> dict[str, Any]:
        """What is known of the connection: path, query string, headers, arguments of the route, session, user.

        After the handshake some headers are missing: cookies, authorization, and what goes beyond 8 KiB. A dict of this
        message's own: what is to outlive that is kept in `state`.
        """
        kept = self.message.content if self.message.channel_name == CONNECT else self._handshake()
        scope = {
            "type": "websocket",
            "path": self.path,
            "query_string": kept.get("query_string", b""),
            "headers": [tuple(header) for header in kept.get("headers", ())],
            "url_route": {"args": (), "kwargs": self.kwargs},
        }
        if self.http_user:
            scope["session"] = self.session
            scope["user"] = SimpleLazyObject(lambda: self.user)
        return scope

    def keep_handshake(self) -> None:
        """Keep what later messages need of the handshake."""
        content = self.message.content
        kept = {"query_string": content.get("query_string", b""), "headers": _worth_keeping(content.get("headers", ()))}
        session = vars(self.message).get("http_session")
        if session is not None:
            kept["session_key"] = session.session_key
        self.message.state[HANDSHAKE] = kept

    def _handshake(self) -> dict[str, Any]:
        kept: dict[str, Any] = self.message.state.get(HANDSHAKE, {})
        return kept

    # --- answers -------------------------------------------------------------------------------------------------

    def accept(self, subprotocol: str | None = None) -> None:
        """Accept the handshake."""
        answer: dict[str, Any] = {"accept": True}
        if subprotocol is not None:
            answer["subprotocol"] = subprotocol
        self.message.reply_channel.send(answer)

    def send(  # as Channels 3 and 4 name the arguments
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,
        close: bool | int = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Send a frame when the consumer has finished. Parameters and errors as `WebsocketConsumer.send`."""
        super().send(text=text_data, bytes=bytes_data, close=close)

    def close(self, code: int | bool | None = None, reason: str | None = None) -> None:  # noqa: FBT001
        """Close the socket, or refuse one that is connecting. Parameters as `WebsocketConsumer.close`."""
        super().close(True if code is None else code, reason)

    # --- groups --------------------------------------------------------------------------------------------------

    @property
    def _subscribed_groups(self) -> set[str]:
        """The groups that the connection has joined by `add_to_group`."""
        return set(self.message.state.get(GROUPS, ()))

    def add_to_group(self, name: str) -> None:
        """Join a group; nothing happens when the connection is in it.

        Raises:
            InvalidName: it cannot be the name of a group.
            MessageTooLarge: the connection's state has no room for one more.
        """
        groups = self._subscribed_groups
        if name not in groups:
            self._keep_groups(groups | {name})  # first, because it may be refused
            try:
                self._group(name).add(self.message.reply_channel)
            except BaseException:
                self._keep_groups(groups)
                raise

    async def aadd_to_group(self, name: str) -> None:
        """Do as `add_to_group`."""
        groups = self._subscribed_groups
        if name not in groups:
            self._keep_groups(groups | {name})
            try:
                await self._group(name).aadd(self.message.reply_channel)
            except BaseException:
                self._keep_groups(groups)
                raise

    def remove_from_group(self, name: str) -> None:
        """Leave a group; nothing happens when the connection is not in it."""
        groups = self._subscribed_groups
        if name in groups:
            self._group(name).discard(self.message.reply_channel)
            self._keep_groups(groups - {name})

    async def aremove_from_group(self, name: str) -> None:
        """Do as `remove_from_group`."""
        groups = self._subscribed_groups
        if name in groups:
            await self._group(name).adiscard(self.message.reply_channel)
            self._keep_groups(groups - {name})

    def _group(self, name: str) -> Group:
        return Group(name, channel_layer=self.message.channel_layer)

    def _keep_groups(self, names: set[str]) -> None:
        self.message.state[GROUPS] = sorted(names)


def _worth_keeping(headers: Any) -> list[list[bytes]]:
    kept, size = [], 0
    for name, value in headers:
        length = len(name) + len(value)
        if name.lower() not in _NOT_KEPT and size + length <= HEADERS_KEPT:
            kept.append([name, value])
            size += length
    return kept
