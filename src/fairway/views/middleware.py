"""The middleware: `request.is_websocket()` and `request.websocket` on all requests, and 400 for what does not fit.

A socket is opened and closed by whoever runs the view, so there is nothing to do on the way out.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest

from fairway.views.decorators import refusal_of
from fairway.views.requests import asks_for_websocket, prepare


class WebSocketMiddleware:
    """Lets every view see whether it has a WebSocket.

    Works for `MIDDLEWARE`, for blocking and for coroutine views, and with `decorator_from_middleware`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[..., Any] | None = None) -> None:
        self.get_response = get_response
        self._is_async = get_response is not None and iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Handle a request."""
        if self._is_async:
            return self._acall(request)
        response = self.process_request(request)
        return self.process_response(request, response or self.get_response(request))  # type: ignore[misc]

    async def _acall(self, request: HttpRequest) -> Any:
        response = self.process_request(request)
        return self.process_response(request, response or await self.get_response(request))  # type: ignore[misc]

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Set the attributes; refuse a handshake that no server of ours has made."""
        if hasattr(request, "is_websocket"):
            return None
        prepare(request)
        return HttpResponseBadRequest() if asks_for_websocket(request) else None

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        """Refuse a WebSocket for a view that takes none, and a plain request for one that takes nothing else."""
        return refusal_of(request, view)

    def process_response(self, _request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Return the response: of an open socket the client never sees it."""
        return response
