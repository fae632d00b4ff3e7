"""A client that is a WebSocket in a browser."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.serializers.json import DjangoJSONEncoder

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.testing.browser import BrowserClient

CONNECT = "websocket.connect"


class WSClient(BrowserClient):
    """A WebSocket for tests of consumers.

    Its messages are those of a server: path, query string, headers and cookies come with `websocket.connect`, the
    others repeat the path, and all are numbered (`order`).

    Parameters:
        alias: which of `CHANNEL_LAYERS`.
        ordered: refuse an `order` of your own; without it yours wins.
    """

    reply_prefix: ClassVar[str] = "websocket.send"

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER, *, ordered: bool = False) -> None:
        super().__init__(alias)
        self._is_ordered = ordered
        self.accepted: dict[str, Any] | None = None
        """What the last handshake was accepted with: `subprotocol`, `headers`; None before it."""

    @property
    def order(self) -> int:
        """The number of the next message; it may be set."""
        return self._connection.order

    @order.setter
    def order(self, order: int) -> None:
        self._connection.order = order

    # --- the life of a socket ----------------------------------------------------------------------------------------

    def connect(self, path: str = "/", *, subprotocols: Sequence[str] = (), **content: Any) -> Any:
        """Open the socket: send `websocket.connect`, have it consumed, and see that it is accepted.

        Parameters:
            path: with a query string, if you like.
            subprotocols: what the client offers.
            content: more for the message; it wins.

        Returns:
            What the consumer returns.

        Raises:
            AssertionError: there is no consumer, or it does not accept.
            Exception: what the consumer raises, such as `DenyConnection`.
        """
        return self.send_and_consume(CONNECT, _with_offer(content, subprotocols), path=path)

    async def aconnect(self, path: str = "/", *, subprotocols: Sequence[str] = (), **content: Any) -> Any:
        """Do as `connect`, in a coroutine."""
        return await self.asend_and_consume(CONNECT, _with_offer(content, subprotocols), path=path)

    def disconnect(self, code: int = 1000) -> Any:
        """Close the socket: it leaves its groups, and `websocket.disconnect` is consumed.

        Returns:
            What the consumer returns; None where nobody wants to know.
        """
        return self.send_and_consume("websocket.disconnect", {"code": code}, fail_on_none=False)

    async def adisconnect(self, code: int = 1000) -> Any:
        """Do as `disconnect`, in a coroutine."""
        return await self.asend_and_consume("websocket.disconnect", {"code": code}, fail_on_none=False)

    # --- sending and consuming ---------------------------------------------------------------------------------------

    def send(
        self,
        to: str,
        content: Mapping[str, Any] | None = None,
        text: Any = None,
        path: str | None = None,
    ) -> None:
        """Send a message; it waits there to be consumed.

        Parameters:
            to: the channel.
            content: more for the message; it wins over all but `text`.
            text: a str, or anything else, which is sent as JSON.
            path: that of the connection when None.

        Raises:
            ValueError: `content` has an `order`, and this client is `ordered`.
            Exception: as `Client.send`.
        """
        given = dict(content or {})
        if self._is_ordered and "order" in given:
            raise ValueError("this client numbers its messages itself (ordered=True); set `order` on the client")
        super().send(to, self._get_content(to, given, text, path))

    def consume(self, channel: str, fail_on_none: bool = True, check_accept: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Have the next message of a channel consumed. Returns and raises as `Client.consume`.

        Parameters:
            channel: which.
            fail_on_none: whether it is an error when there is no message, or no consumer for it.
            check_accept: after `websocket.connect`, take the acceptance off what was sent to this client.

        Raises:
            AssertionError: the socket was not accepted.
        """
        result = super().consume(channel, fail_on_none)
        self._check_accept(channel, check_accept)
        return result

    async def aconsume(self, channel: str, fail_on_none: bool = True, check_accept: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Do as `consume`, in a coroutine."""
        result = await super().aconsume(channel, fail_on_none)
        self._check_accept(channel, check_accept)
        return result

    def send_and_consume(  # type: ignore[override]  # the order of arguments it has always had
        self,
        channel: str,
        content: Mapping[str, Any] | None = None,
        text: Any = None,
        path: str | None = None,
        fail_on_none: bool = True,  # noqa: FBT001, FBT002
        check_accept: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """Send a message and have it consumed. See `send` and `consume`."""
        self.send(channel, content, text, path)
        return self.consume(channel, fail_on_none, check_accept)

    async def asend_and_consume(  # type: ignore[override]
        self,
        channel: str,
        content: Mapping[str, Any] | None = None,
        text: Any = None,
        path: str | None = None,
        fail_on_none: bool = True,  # noqa: FBT001, FBT002
        check_accept: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """Do as `send_and_consume`, in a coroutine."""
        await sync_to_async(self.send)(channel, content, text, path)
        return await self.aconsume(channel, fail_on_none, check_accept)

    # --- receiving ---------------------------------------------------------------------------------------------------

    def receive(self, json: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Return the next message that was sent to this client, or None.

        Parameters:
            json: decode its text. Without it the text is returned as it is.

        Returns:
            Of a message without a text the whole: `{"close": 1000}`, `{"bytes": b"..."}`.

        Raises:
            AssertionError: the text is no JSON.
        """
        return _read(super().receive(), as_json=json)

    async def areceive(self, json: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Do as `receive`, in a coroutine."""
        return _read(await super().areceive(), as_json=json)

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _get_content(self, to: str, given: dict[str, Any], text: Any, path: str | None) -> dict[str, Any]:
        if text or (text is not None and "text" not in given):
            given["text"] = text if isinstance(text, str) else json.dumps(text, cls=DjangoJSONEncoder)
        if path is None:
            path = self._connection.path
        if to == CONNECT:
            return {"scheme": "ws", "subprotocols": [], **self.request_scope(path, given)}
        if to == "http.request":
            return {"method": "GET", "scheme": "http", "body": b"", **self.request_scope(path, given)}
        return {"path": path.partition("?")[0], **given}

    def _check_accept(self, channel: str, check_accept: bool) -> None:  # noqa: FBT001
        if channel != CONNECT or not check_accept:
            return
        frames = self._connection.frames
        first = frames.popleft() if frames else {}
        is_accepted = first.pop("accept", None)
        if is_accepted is None and (first.get("text") or first.get("bytes")):
            is_accepted = True  # a frame accepts too
        if not is_accepted:
            raise AssertionError(f"the socket was not accepted: {_how_refused(is_accepted, first)}")
        self.accepted = {key: first.pop(key) for key in ("subprotocol", "headers", "receive_channel") if key in first}
        if first:
            frames.appendleft(first)


class HttpClient(WSClient):
    """The old name of `WSClient`. It sends `http.request` just as well; a response is received as it was sent."""


def _with_offer(content: dict[str, Any], subprotocols: Sequence[str]) -> dict[str, Any]:
    return {"subprotocols": list(subprotocols), **content}


def _read(content: dict[str, Any] | None, *, as_json: bool) -> Any:
    text = None if content is None else content.get("text")
    if text is None:
        return content
    if not as_json or not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise AssertionError(f"the text is no JSON: {text!r:.200}; receive(json=False) returns it as it is") from error


def _how_refused(answer: Any, rest: Mapping[str, Any]) -> str:
    if not rest and answer is None:
        return "its consumer sent nothing"
    if "reject" in rest:
        return f"it was answered with {rest['reject'].get('status')}"
    return f"its consumer sent {dict(rest) if answer is None else {'accept': answer, **rest}}"
