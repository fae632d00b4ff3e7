"""Django's request handler, from a message to the messages of its response.

A request runs synchronously in the thread of whoever takes the messages; asynchronous views and middleware go through
Django's own adaptation. `ResponseLater` is caught where the view raised it, before any middleware could take it for an
error, and an empty response stands in for it on the way out.
"""

import logging
import traceback
from collections.abc import Callable, Generator, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core import signals
from django.core.handlers.base import BaseHandler
from django.http import FileResponse, HttpResponse, HttpResponseBadRequest, HttpResponseServerError
from django.urls import set_script_prefix

from fairway.errors import RequestAborted, RequestTimeout, ResponseLater
from fairway.http.current import current_request, observers, was_answered
from fairway.http.request import AsgiRequest, script_name
from fairway.http.response import CHUNK_SIZE, ReplyMessage, chunk_bytes, encode_head, encode_response

if TYPE_CHECKING:
    from fairway.message import Message

logger = logging.getLogger("django.request")

Response = Any
"""A Django response. The stubs lack what a handler has to touch."""

View = Callable[..., Response]


class AsgiHandler(BaseHandler):
    """Runs Django on a message. One handler serves all threads: nothing of a request is kept on it."""

    request_class = AsgiRequest
    chunk_size = CHUNK_SIZE

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def __call__(self, message: "Message") -> Generator[ReplyMessage, None, None]:
        """Yield the messages of the response; none when nobody waits for them, or somebody else will answer.

        Nothing happens before the first one is asked for. Closing the iterator closes the response.
        """
        set_script_prefix(script_name(message.content))
        signals.request_started.send(sender=self.__class__, message=message)
        response = self._respond(message)
        if response is None:
            return
        try:
            if message.content["method"] == "HEAD":
                yield from encode_head(response)
            else:
                yield from self.encode_response(response)
        finally:
            response.close()

    @classmethod
    def encode_response(cls, response: Response) -> Generator[ReplyMessage, None, None]:
        """Yield the messages of a response (`fairway.http.response.encode_response`)."""
        return encode_response(response, cls.chunk_size)

    @classmethod
    def chunk_bytes(cls, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield the data in chunks of `chunk_size`, each with whether it is the last one."""
        return chunk_bytes(data, cls.chunk_size)

    def _respond(self, message: "Message") -> Response | None:
        """Return the response, or None when nothing is to be sent and everything is closed."""
        try:
            request = self.request_class(message)
        except UnicodeDecodeError as error:
            logger.warning("Bad Request (UnicodeDecodeError)", exc_info=error, extra={"status_code": 400})
            return self._own(HttpResponseBadRequest())
        except RequestTimeout as error:
            logger.warning("Request Timeout: %s", error, extra={"status_code": 408})
            text = "408 Request Timeout (upload too slow)"
            return self._own(HttpResponse(text, status=408, content_type="text/plain"))
        except RequestAborted:
            signals.request_finished.send(sender=self.__class__)
            return None
        response = self._own(self._answer(request))
        if request.is_answered_later:
            response.close()
            return None
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return response

    def _own(self, response: Response) -> Response:
        """Make this class the sender of `request_finished`."""
        response._handler_class = self.__class__  # noqa: SLF001  as Django's handlers do
        return response

    def _answer(self, request: AsgiRequest) -> Response:
        token = current_request.set(request)
        try:
            response: Response = self.get_response(request)
        except Exception:
            # Even the error handlers failed. Under WSGI the server would catch this.
            request.close()
            if settings.DEBUG_PROPAGATE_EXCEPTIONS:
                raise
            logger.exception("Internal Server Error: %s", request.path, extra={"status_code": 500, "request": request})
            text = traceback.format_exc() if settings.DEBUG else "Internal Server Error"
            return HttpResponseServerError(text, content_type="text/plain")
        else:
            if observers or request.when_answered:
                was_answered(request, response)
            return response
        finally:
            current_request.reset(token)

    # --- ResponseLater -----------------------------------------------------------------------------------------------

    def process_exception_by_middleware(self, exception: Exception, request: Any) -> Any:
        """Let exception middleware see what the view raised, unless it says that somebody else will answer."""
        if isinstance(exception, ResponseLater):
            return _stand_in(request)
        return super().process_exception_by_middleware(exception, request)

    def make_view_atomic(self, view: View) -> View:
        """Wrap a view for ATOMIC_REQUESTS; `ResponseLater` is no failure, so it must not roll back."""
        atomic: View = super().make_view_atomic(view)
        if atomic is view:
            return view
        later_as_response: View = super().make_view_atomic(_without_later(view))
        return later_as_response


def _without_later(view: View) -> View:
    @wraps(view)
    def wrapper(request: Any, *args: Any, **kwargs: Any) -> Response:
        try:
            return view(request, *args, **kwargs)
        except ResponseLater:
            return _stand_in(request)

    return wrapper


def _stand_in(request: Any) -> Response:
    """Return what middleware sees in place of the answer to come. 202: neither an error nor worth caching."""
    request.is_answered_later = True
    return HttpResponse(status=202)
