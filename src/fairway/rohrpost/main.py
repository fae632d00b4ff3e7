"""From a frame to its handler, and to an answer whatever happens.

Mistakes of a client are answered and never raised. So is the failure of a handler: the client is told that it failed,
with the details in DEBUG only, and the log has the traceback.
"""

import inspect
import logging
import reprlib
from traceback import format_exception_only
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings

from fairway.consumers.calls import is_coroutine_function, resolve
from fairway.consumers.json_websocket import JsonWebsocketConsumer, describe_error
from fairway.errors import Decision
from fairway.limits import MessageLimits
from fairway.rohrpost.handlers import handle_ping
from fairway.rohrpost.message import MessageID, Sender, _send_message, send_error
from fairway.rohrpost.registry import HANDLERS, Handler
from fairway.rohrpost.shapes import WrongData, arguments_for

__all__ = ["REQUIRED_FIELDS", "ahandle_rohrpost_message", "handle_ping", "handle_rohrpost_message"]

logger = logging.getLogger("fairway.rohrpost")

REQUIRED_FIELDS = ["type", "id"]

DEEPEST = MessageLimits().depth
"""Nested lists and objects of a frame: deeper ones could be read, and then not be answered."""

SHOWN = 100
"""Characters of an unknown type that the answer repeats."""

TOLD = 1000
"""Characters of an exception that the answer repeats in DEBUG."""


class Call(NamedTuple):
    """A request, and who is to handle it."""

    kind: str
    id: MessageID | None
    request: dict[str, Any]
    handler: Handler

    @property
    def is_coroutine(self) -> bool:
        """Whether the handler has to be awaited."""
        return is_coroutine_function(self.handler)


Refusal = dict[str, Any]
"""The answer to a frame that is no request."""


def read_frame(text: object) -> Call | Refusal:
    """Return what a frame asks for, or the answer to one that asks for nothing that can be done."""
    if text is None or (isinstance(text, str | bytes) and not text):
        return {"error": "Received empty message."}
    try:
        request = _decoded(text)
    except (ValueError, RecursionError) as error:
        return {"error": f"Could not decode JSON message. Error: {describe_error(error)}"}
    if not isinstance(request, dict):
        return {"error": "Expected a JSON object as message."}
    for field in REQUIRED_FIELDS:
        if field not in request:
            return {"error": f"Missing required field '{field}'."}
    kind = request["type"]
    handler = HANDLERS.get(kind) if isinstance(kind, str) else None
    if handler is None:
        shown = kind if isinstance(kind, str) else reprlib.repr(kind)
        return {"id": request["id"], "type": kind, "error": f"Unknown message type '{shown[:SHOWN]}'."}
    return Call(kind, request["id"], request, handler)


def handle_rohrpost_message(consumer: Sender, text_data: str | None = None) -> None:
    """Let the right handler take a frame, or answer what is wrong with it.

    A handler that is a coroutine is run to its end here.

    Parameters:
        consumer: what has the frame, and sends the answers.
        text_data: the text of the frame.

    Raises:
        Decision: a handler decides how its consumer ends (`ConsumeLater` and its like).
    """
    handle(consumer, read_frame(text_data))


async def ahandle_rohrpost_message(consumer: Sender, text_data: str | None = None) -> None:
    """Do as `handle_rohrpost_message`. A handler that is no coroutine is run on a thread."""
    await ahandle(consumer, read_frame(text_data))


def handle(consumer: Sender, found: Call | Refusal) -> None:
    """Run a handler, and answer for it if it fails; or answer a frame that is no request."""
    if not isinstance(found, Call):
        _send_message(consumer=consumer, content=found)
        return
    try:
        arguments = arguments_for(found.handler, found.request)
        if found.is_coroutine:
            async_to_sync(found.handler)(consumer=consumer, **arguments)
            return
        result = found.handler(consumer=consumer, **arguments)
        if result is not None and inspect.isawaitable(result):  # a coroutine function that did not look like one
            async_to_sync(resolve)(result)
    except Decision:
        raise
    except Exception as error:  # noqa: BLE001  answered and logged
        _answer_failure(consumer, found, error)


async def ahandle(consumer: Sender, found: Call | Refusal) -> None:
    """Do as `handle`."""
    if not isinstance(found, Call):
        _send_message(consumer=consumer, content=found)
        return
    if not found.is_coroutine:
        await sync_to_async(handle)(consumer, found)  # all of it: a StopIteration gets lost on the way from a thread
        return
    try:
        await found.handler(consumer=consumer, **arguments_for(found.handler, found.request))
    except Decision:
        raise
    except Exception as error:  # noqa: BLE001  answered and logged
        _answer_failure(consumer, found, error)


def _decoded(text: object) -> Any:
    """Return what a frame holds.

    Raises:
        ValueError: it is no JSON, none that can travel on, or too deep.
        RecursionError: it is far too deep.
    """
    if not isinstance(text, str):
        raise ValueError(f"it is {type(text).__name__}, and JSON is text")  # noqa: TRY004  as for any other nonsense
    content = JsonWebsocketConsumer.decode_json(text)
    # Counting takes a moment, and most frames have not even that many brackets.
    if text.count("[") + text.count("{") > DEEPEST and _is_too_deep(content):
        raise ValueError(f"it is nested deeper than {DEEPEST} lists and objects")
    return content


def _is_too_deep(content: Any) -> bool:
    level = [content]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _answer_failure(consumer: Sender, call: Call, error: Exception) -> None:
    if isinstance(error, WrongData):
        text = str(error)
    else:
        logger.error("the handler of rohrpost message %.100r failed", call.kind, exc_info=error)
        text = f"The handler of '{call.kind}' failed."
        if settings.DEBUG:
            text = f"{text} {''.join(format_exception_only(error)).strip()[:TOLD]}"
    send_error(consumer=consumer, handler=call.kind, message_id=call.id, error=text)
