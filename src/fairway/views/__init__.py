"""A WebSocket in a view: an ordinary Django view that reads and writes it, until it returns.

    from fairway.views import require_websocket

    @require_websocket
    def echo_once(request):
        message = request.websocket.wait()
        request.websocket.send(message)

The interface server holds the socket. The connection is pinned to the worker process that runs the view: its messages
come over a channel of that process, and a message is acknowledged when the view takes it.

* `decorators`, `middleware`: which views take sockets
* `websocket`, `async_websocket`: what a view has in `request.websocket`, over one `connection`
* `sockets`: takes connects from the worker; `runner` runs a view, `pinned` brings the messages of its socket
"""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.views.async_websocket import AsyncWebSocket
    from fairway.views.decorators import accept_websocket, require_websocket
    from fairway.views.middleware import WebSocketMiddleware
    from fairway.views.requests import AsyncWebSocketRequest, WebSocketRequest
    from fairway.views.websocket import WebSocket

_HOMES = {
    "AsyncWebSocket": "fairway.views.async_websocket",
    "AsyncWebSocketRequest": "fairway.views.requests",
    "WebSocket": "fairway.views.websocket",
    "WebSocketMiddleware": "fairway.views.middleware",
    "WebSocketRequest": "fairway.views.requests",
    "accept_websocket": "fairway.views.decorators",
    "require_websocket": "fairway.views.decorators",
}

__all__ = [
    "AsyncWebSocket",
    "AsyncWebSocketRequest",
    "WebSocket",
    "WebSocketMiddleware",
    "WebSocketRequest",
    "accept_websocket",
    "require_websocket",
]

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
