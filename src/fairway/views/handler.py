"""Django's handler around a view that owns a WebSocket: middleware, URLconf and view, as for any request.

There are two of it: a blocking one that runs in the thread of the view, and one on an event loop for coroutine views.
"""

import logging
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core import signals
from django.core.exceptions import BadRequest
from django.http import HttpResponse, HttpResponseServerError
from django.urls import set_script_prefix
from django.utils.module_loading import import_string

from fairway.errors import ChannelFull, ChannelGone
from fairway.http.current import current_request, observers, was_answered
from fairway.http.handler import AsgiHandler, Response
from fairway.http.request import script_name
from fairway.views.connection import Phase
from fairway.views.decorators import accepts, answer_of
from fairway.views.requests import WebSocketRequest

logger = logging.getLogger("django.request")


class ViewHandler(AsgiHandler):
    """Runs Django for one WebSocket at a time and thread.

    Parameters:
        is_async: whether it is awaited.
    """

    request_class = WebSocketRequest

    def __init__(self, *, is_async: bool) -> None:
        self._is_async = is_async
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  Django's signature
        """Make the chain for this kind of view."""
        super().load_middleware(self._is_async)

    def respond(self, request: Any) -> Response:
        """Run middleware and view; return the response. Whoever closes it ends the request."""
        set_script_prefix(script_name(request.message.content))
        signals.request_started.send(sender=self.__class__, message=request.message)
        return self._own(self._answer(request))

    async def arespond(self, request: Any) -> Response:
        """Do as `respond`."""
        set_script_prefix(script_name(request.message.content))
        await signals.request_started.asend(sender=self.__class__, message=request.message)
        token = current_request.set(request)
        try:
            response: Response = await self.get_response_async(request)
        except Exception:
            await sync_to_async(request.close)()
            logger.exception("Internal Server Error: %s", request.path, extra={"status_code": 500, "request": request})
            response = HttpResponseServerError("Internal Server Error", content_type="text/plain")
        else:
            if observers or request.when_answered:
                await sync_to_async(was_answered)(request, response)
        finally:
            current_request.reset(token)
        return self._own(response)

    def resolve_request(self, request: Any) -> Any:
        """Find the view; middleware may have chosen another URLconf than the one that was asked first.

        Raises:
            BadRequest: the view takes no WebSockets.
        """
        match = super().resolve_request(request)
        if not accepts(match.func):
            raise BadRequest("this view takes no WebSockets")
        return match

    def make_view_atomic(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """Let None be a response: the view has done what it wanted.

        Not for ATOMIC_REQUESTS: no transaction is to stay open for as long as a socket.
        """
        return _answering(view)

    def process_exception_by_middleware(self, exception: Exception, request: Any) -> Any:
        """Note what the view has raised. That its client went away, or does not read, is no error of the view."""
        connection = request.websocket._connection  # noqa: SLF001  a view has no business with it
        own = _error_about(connection.reply_channel, exception)
        connection.failure = own or exception
        if connection.phase is not Phase.HANDSHAKE and own:
            return answer_of(request, HttpResponse())
        # Not that of AsgiHandler: nobody can answer a handshake later.
        response = super(AsgiHandler, self).process_exception_by_middleware(exception, request)
        return None if response is None else answer_of(request, response)


def first_blocking_middleware() -> str:
    """Return the first of MIDDLEWARE that only blocking code can run, "" when there is none."""
    for path in settings.MIDDLEWARE:
        if not getattr(import_string(path), "async_capable", False):
            return path
    return ""


def _answering(view: Callable[..., Any]) -> Callable[..., Any]:
    """Do what the decorators do for a view that has none of them."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def awaiting(request: Any, *args: Any, **kwargs: Any) -> Any:
            return answer_of(request, await view(request, *args, **kwargs))

        return awaiting

    @wraps(view)
    def calling(request: Any, *args: Any, **kwargs: Any) -> Any:
        return answer_of(request, view(request, *args, **kwargs))

    return calling


def _error_about(channel: str, raised: BaseException) -> ChannelGone | ChannelFull | None:
    """Return that the client of `channel` went away, or does not read, where nothing else was raised.

    The tasks of a `TaskGroup` may raise it several times; that it does not read then comes first.
    """
    own = []
    for error in _leaves(raised):
        if not isinstance(error, ChannelGone | ChannelFull) or error.channel != channel:
            return None
        own.append(error)
    return next((error for error in own if isinstance(error, ChannelFull)), own[0])


def _leaves(raised: BaseException) -> Iterator[BaseException]:
    if not isinstance(raised, BaseExceptionGroup):
        yield raised
        return
    for one in raised.exceptions:
        yield from _leaves(one)
