"""One view with its socket, from the handed-over connect to the close frame: in a thread, or as a coroutine.

How a view ends, and what its client sees:

=========================================  ===========================================================
answers before it looks at the socket      that HTTP response, in place of the handshake
returns None before that                   accepted, and closed with 1000
returns                                    1000
raises                                     1011, or 1008 where Django answers with 4xx; the log has it
lets `ChannelGone` through: nobody is there  nothing, nor does the log
lets `ChannelFull` through: it does not read  1013
ends after its worker was told to stop     1012
=========================================  ===========================================================
"""

import logging
from contextlib import closing
from typing import Any

from asgiref.sync import sync_to_async

from fairway.broker.effects import Delivery, Effect, Send
from fairway.errors import BackendError, ChannelFull, UsageError
from fairway.http.response import encode_headers
from fairway.http.streaming import iterate
from fairway.limits import ViewLimits
from fairway.views.async_websocket import AsyncWebSocket
from fairway.views.connection import Connection, Phase
from fairway.views.decorators import NoAnswer
from fairway.views.handler import ViewHandler
from fairway.views.pinned import Pinned
from fairway.views.requests import WebSocketRequest
from fairway.views.websocket import WebSocket
from fairway.worker.outbox import current_outbox

logger = logging.getLogger("fairway.views")

FAILED = {"status": 500, "content": b"Internal Server Error\n"}


class ViewRun:
    """One view and its socket.

    Parameters:
        request: what the view gets.
        connection: the socket, in its handshake.
        pinned: what brings its messages.
        limits: how long the close frame may wait, and how long an answer may be.
    """

    def __init__(self, request: WebSocketRequest, connection: Connection, pinned: Pinned, limits: ViewLimits) -> None:
        self.connection = connection
        self._request = request
        self._pinned = pinned
        self._limits = limits

    def run(self, handler: ViewHandler, kind: type[WebSocket | AsyncWebSocket]) -> None:
        """Run the view in this thread, to the end of its socket."""
        current_outbox.set(None)  # what the view sends leaves at once
        connection = self.connection
        self._request.websocket = kind(connection, self._pinned, self._limits)  # type: ignore[assignment]
        response = handler.respond(self._request)
        try:
            effects, last = self._conclude(response, self._answer(response))
            if effects:
                connection.outbox.reader.commit(connection.outbox.delivery, effects)
            if last:
                connection.layer.publish(last, self._limits.end)
        except BackendError as error:
            self._log_unsaid(error)
        finally:
            for delivery in self._leave():
                self._pinned.commit(delivery)
            response.close()

    async def arun(self, handler: ViewHandler) -> None:
        """Do as `run`, as a coroutine."""
        current_outbox.set(None)
        connection = self.connection
        self._request.websocket = AsyncWebSocket(  # type: ignore[assignment]  # an AsyncWebSocketRequest
            connection, self._pinned, self._limits
        )
        response = await handler.arespond(self._request)
        try:
            answer = await sync_to_async(self._answer)(response) if response.streaming else self._answer(response)
            effects, last = self._conclude(response, answer)
            if effects:
                await connection.outbox.reader.acommit(connection.outbox.delivery, effects)
            if last:
                await connection.layer.apublish(last, self._limits.end)
        except BackendError as error:
            self._log_unsaid(error)
        finally:
            for delivery in self._leave():
                await self._pinned.acommit(delivery)
            await sync_to_async(response.close)()

    def fail(self) -> None:
        """End the socket, since not the view has failed but what runs it."""
        connection = self.connection
        try:
            if effects := connection.reject(FAILED):
                connection.outbox.reader.commit(connection.outbox.delivery, effects)
            elif last := connection.close(1011):
                connection.layer.publish(last, self._limits.end)
        except BackendError as error:
            self._log_unsaid(error)
        for delivery in self._leave():
            self._pinned.commit(delivery)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _answer(self, response: Any) -> dict[str, Any]:
        """Return the HTTP response that refuses the handshake; nothing where the socket is open."""
        if self.connection.phase is not Phase.HANDSHAKE or isinstance(response, NoAnswer):
            return {}
        try:
            content = response.content if not response.streaming else _read(response, self._limits.answer)
        except Exception:
            logger.exception("the response of %s to a WebSocket broke, so it was answered with 500", self._request.path)
            return FAILED
        if content is None or len(content) > self._limits.answer:
            logger.error(
                "the response of %s to a WebSocket is longer than %d bytes, so it was answered with 500. "
                "Redirect to where it is to be had",
                self._request.path,
                self._limits.answer,
            )
            return FAILED
        return {"status": response.status_code, "headers": encode_headers(response), "content": content}

    def _conclude(self, response: Any, answer: dict[str, Any]) -> tuple[list[Effect], Send | None]:
        """End the socket. Return what is to be committed with its connect, and what is to be published then."""
        connection = self.connection
        if answer and (effects := self._reject(answer)):
            return effects, None
        effects = []
        if connection.phase is Phase.HANDSHAKE:
            self._pinned.add(connection)
            effects = connection.accept()
        return effects, connection.close(self._close_code(response))

    def _reject(self, answer: dict[str, Any]) -> list[Effect]:
        try:
            return self.connection.reject(answer)
        except UsageError:
            logger.exception("the response of %s to a WebSocket cannot travel", self._request.path)
            return self.connection.reject(FAILED)

    def _close_code(self, response: Any) -> int:
        failure = self.connection.failure
        if isinstance(failure, ChannelFull) and failure.channel == self.connection.reply_channel:
            return 1013
        if response.status_code >= 500:
            return 1011
        if self.connection.is_stopping:
            return 1012
        return 1008 if failure and response.status_code >= 400 else 1000

    def _leave(self) -> list[Delivery]:
        """Let the socket be; return the messages that the view has not read."""
        self._pinned.forget(self.connection)
        self.connection.end()
        return self.connection.take_unread()

    def _log_unsaid(self, error: Exception) -> None:
        logger.warning("the end of the view of %s could not be told to its client: %s", self._request.path, error)


def _read(response: Any, limit: int) -> bytes | None:
    """Return the body of a streaming response; None when it is longer than `limit`."""
    parts, size = [], 0
    with closing(iterate(response)) as stream:
        for part in stream:
            parts.append(part)
            size += len(part)
            if size > limit:
                return None
    return b"".join(parts)
