"""From a frame to its handler, and to an answer whatever happens.

Mistakes of a client are answered and never raised. So is the failure of a handler: the client is told that it failed,
with the details in DEBUG only, and the log has the traceback.
"""

import logging
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync
from django.conf import settings

from fairway.consumers.calls import resolve
from fairway.consumers.json_websocket import JsonWebsocketConsumer, describe_error
from fairway.errors import Decision
from fairway.rohrpost.handlers import handle_ping
from fairway.rohrpost.message import Sender, _send_message, send_error
from fairway.rohrpost.registry import HANDLERS, Handler
from fairway.rohrpost.shapes import Shape, WrongData, arguments_for, shape_of

__all__ = ["REQUIRED_FIELDS", "ahandle_rohrpost_message", "handle_ping", "handle_rohrpost_message"]

logger = logging.getLogger("fairway.rohrpost")

REQUIRED_FIELDS = ["type", "id"]

SHOWN = 100
"""Characters of an unknown type that the answer repeats."""


class Call(NamedTuple):
    """A request, and who is to handle it."""

    request: dict[str, Any]
    handler: Handler
    shape: Shape


Refusal = dict[str, Any]
"""The answer to a frame that is no request."""


def read_frame(text: object) -> Call | Refusal:
    """Return what a frame asks for, or what is wrong with it."""
    if text is None or text == "":
        return {"error": "Received empty message."}
    request = _decoded(text)
    if isinstance(request, WrongData):
        return {"error": str(request)}
    if not isinstance(request, dict):
        return {"error": "Expected a JSON object as message."}
    for field in REQUIRED_FIELDS:
        if field not in request:
            return {"error": f"Missing required field '{field}'."}
    kind = request["type"]
    handler = HANDLERS.get(kind) if isinstance(kind, str) else None
    if handler is None:
        error = f"Unknown message type '{str(kind)[:SHOWN]}'."
        return {"id": request["id"], "type": kind, "error": error}
    return Call(request, handler, shape_of(handler))


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
    """Do as `handle_rohrpost_message`. A handler that is no coroutine holds the event loop up meanwhile."""
    await ahandle(consumer, read_frame(text_data))


def handle(consumer: Sender, found: Call | Refusal) -> None:
    """Run a handler, and answer for it if it fails; or answer a frame that is no request."""
    if not isinstance(found, Call):
        _send_message(consumer=consumer, content=found)
        return
    try:
        arguments = arguments_for(found.shape, found.request)
        if found.shape.is_coroutine:
            async_to_sync(found.handler)(consumer=consumer, **arguments)
        else:
            found.handler(consumer=consumer, **arguments)
    except Decision:
        raise
    except Exception as error:  # noqa: BLE001  answered and logged
        _answer_failure(consumer, found.request, error)


async def ahandle(consumer: Sender, found: Call | Refusal) -> None:
    """Do as `handle`."""
    if not isinstance(found, Call):
        _send_message(consumer=consumer, content=found)
        return
    try:
        await resolve(found.handler(consumer=consumer, **arguments_for(found.shape, found.request)))
    except Decision:
        raise
    except Exception as error:  # noqa: BLE001  answered and logged
        _answer_failure(consumer, found.request, error)


def _decoded(text: object) -> Any:
    """Return what a frame holds; a `WrongData` where that is no JSON."""
    try:
        if isinstance(text, str):
            return JsonWebsocketConsumer.decode_json(text)
        reason = f"it is {type(text).__name__}, and JSON is text"
    except (ValueError, RecursionError) as error:
        reason = describe_error(error)
    return WrongData(f"Could not decode JSON message. Error: {reason}")


def _answer_failure(consumer: Sender, request: dict[str, Any], error: Exception) -> None:
    kind = request["type"]
    if isinstance(error, WrongData):
        text = str(error)
    else:
        logger.error("the handler of rohrpost message %.100r failed", kind, exc_info=error)
        text = f"The handler of '{kind}' failed."
        if settings.DEBUG:
            text = f"{text} {type(error).__name__}: {error}"
    send_error(consumer=consumer, handler=kind, message_id=request["id"], error=text)
