"""Views that own a WebSocket as a typed application writes them. mypy reads this file; nothing runs it.

A line that must be an error carries an ignore with its code: `make lint` then fails when it is an error no longer.
"""

from typing import Any, assert_type

from django.http import HttpResponse
from django.urls import path

from fairway.testing import ViewClient
from fairway.views import (
    AsyncWebSocketRequest,
    WebSocketRequest,
    accept_websocket,
    require_websocket,
)


@require_websocket
def echo(request: WebSocketRequest, room: str) -> None:
    """What it returns is a response for Django."""
    for message in request.websocket:
        assert_type(message, str | bytes)
        request.websocket.send(message)
    assert_type(request.websocket.wait(), str | bytes | None)
    assert_type(request.websocket.count_messages(), int)


@accept_websocket
async def aecho(request: AsyncWebSocketRequest) -> HttpResponse | None:
    """So does a coroutine."""
    async for message in request.websocket:
        assert_type(message, str | bytes)
        await request.websocket.send(message)
    assert_type(await request.websocket.read("fallback"), Any)
    request.websocket.send("forgotten")  # type: ignore[unused-coroutine]
    return None


urlpatterns = [path("echo/<room>/", echo), path("aecho/", aecho)]


def test_it() -> None:
    """A client of a test."""
    with ViewClient().open("/echo/a/") as socket:
        assert_type(socket.receive(), str | bytes | None)
        assert_type(socket.close_code, int | None)
