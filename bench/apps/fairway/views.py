"""The echo as a blocking view, and the view of the HTTP shapes, by which the harness sees that the chain answers."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path

from bench.apps.urls import ok
from fairway.views import require_websocket


@require_websocket
def echo(request: HttpRequest) -> None:
    """Send back what comes."""
    websocket = request.websocket  # type: ignore[attr-defined]
    for message in websocket:
        websocket.send(message)


urlpatterns = [path("ok/", ok), path("echo/", echo)]
