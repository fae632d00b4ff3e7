"""Requests and WebSockets: the request of a view that owns a socket, and the attributes that all requests have."""

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

from fairway.http.request import AsgiRequest, script_name
from fairway.message import Message
from fairway.url_routing import path_below

if TYPE_CHECKING:
    from fairway.views.async_websocket import AsyncWebSocket
    from fairway.views.websocket import WebSocket

_SCHEMES = {"ws": "http", "wss": "https"}


class WebSocketRequest(AsgiRequest):
    """The request behind a `websocket.connect` message: the handshake, which is a GET (RFC 6455, section 4.1).

    Raises:
        UnicodeDecodeError: the path or the query string is not UTF-8.
    """

    websocket: "WebSocket"

    def __init__(self, message: Message) -> None:
        content = message.content
        scheme = _SCHEMES.get(content.get("scheme") or "ws", "http")
        as_get = {**content, "method": "GET", "scheme": scheme}
        super().__init__(Message(as_get, message.channel_name, message.channel_layer))

    def is_websocket(self) -> bool:
        """Say that there is a WebSocket."""
        return True


class AsyncWebSocketRequest(WebSocketRequest):
    """The same for a coroutine view."""

    websocket: "AsyncWebSocket"  # type: ignore[assignment]  # the same names, to be awaited


def path_of(message: Message) -> str:
    """Return what the URLconf is asked about a message.

    Raises:
        UnicodeDecodeError: the path is not UTF-8.
    """
    path = message.content["path"]
    return path_below(path if isinstance(path, str) else path.decode(), script_name(message.content))


def prepare(request: Any) -> None:
    """Give a plain request the attributes that say so."""
    request.is_websocket = _is_none
    request.websocket = None


def asks_for_websocket(request: HttpRequest) -> bool:
    """Say whether a plain request wants to become a WebSocket: then nobody is there who could do it."""
    connection = request.META.get("HTTP_CONNECTION", "")
    tokens = {token.strip().lower() for token in connection.split(",")}
    return "upgrade" in tokens and request.META.get("HTTP_UPGRADE", "").strip().lower() == "websocket"


def _is_none() -> bool:
    return False
