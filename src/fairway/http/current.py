"""The request that Django answers in this context, and what is to be done once it has answered.

A signal receiver, say, is not given the request during which it is called. Here it finds it, if it is one that Fairway
runs: synchronous code sees it as well as coroutines and the threads behind them.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.http.request import AsgiRequest

logger = logging.getLogger("fairway.http")

current_request: "ContextVar[AsgiRequest | None]" = ContextVar("fairway_request", default=None)
"""The request, from before the first middleware until after the last."""


observers: "list[Callable[[AsgiRequest, Any], None]]" = []
"""Called with every request that was answered and its response, after the calls of its own. They have to be quick."""


def call_when_answered(request: "AsgiRequest", call: Callable[[], None]) -> None:
    """Have `call` called when view and middleware are through (the session is saved) and before the response leaves."""
    request.when_answered = [*request.when_answered, call]


def was_answered(request: "AsgiRequest", response: Any) -> None:
    """Make the calls. One that fails is logged: the response is there, and the client shall have it."""
    for call in request.when_answered:
        try:
            call()
        except Exception:
            logger.exception("failed after %s %s was answered: %r", request.method, request.path, call)
    for observer in observers:
        try:
            observer(request, response)
        except Exception:
            logger.exception("failed after %s %s was answered: %r", request.method, request.path, observer)
