"""The ASGI application; only the JSON consumer pays for session and user."""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

django_application = get_asgi_application()

from bench.apps.channels4 import consumers  # noqa: E402 - models need the application set up above

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter(
            [
                path("fanout/<slug:group>/", consumers.FanOut.as_asgi()),
                path("echo/", consumers.Echo.as_asgi()),
                path("slow/", consumers.Slow.as_asgi()),
                path("notes/", AuthMiddlewareStack(consumers.Notes.as_asgi())),
                path("names/", AuthMiddlewareStack(consumers.Names.as_asgi())),
            ]
        ),
    }
)
