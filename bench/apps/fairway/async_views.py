"""The same as a coroutine view."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path

from bench.apps.urls import ok
from fairway.views import require_websocket


@require_websocket
async def echo(request: HttpRequest) -> None:
    """Send back what comes."""
    websocket = request.websocket  # type: ignore[attr-defined]
    async for message in websocket:
        await websocket.send(message)


urlpatterns = [path("ok/", ok), path("echo/", echo)]
