"""How the development server is set up by the project's settings, and how it writes its access log."""

import logging
import time
from dataclasses import replace

from django.conf import settings

from fairway.limits import HttpLimits, ServerLimits, WebSocketLimits
from fairway.server.config import Access, ServerConfig

logger = logging.getLogger("django.server")

_WORDS = {"connecting": "HANDSHAKING", "connected": "CONNECT", "rejected": "REJECT", "disconnected": "DISCONNECT"}

GRACE = 2.0
"""How long a stop may take: whoever edits code waits for it at each change."""


def server_config(*, answer_timeout: float | None = None, connect_timeout: float | None = None) -> ServerConfig:
    """Return what the project's settings say about a server, for development: a stop wastes nobody's time.

    Parameters:
        answer_timeout: seconds until an unanswered request gets a 504; the default when None.
        connect_timeout: the same for a WebSocket handshake.
    """
    http, websocket = HttpLimits(), WebSocketLimits()
    if answer_timeout is not None:
        http = replace(http, answer_timeout=answer_timeout)
    if connect_timeout is not None:
        websocket = replace(websocket, connect_timeout=connect_timeout)
    return ServerConfig(
        root_path=(settings.FORCE_SCRIPT_NAME or "").rstrip("/"),
        trusted_origins=settings.CSRF_TRUSTED_ORIGINS,
        access_log=log_access,
        limits=ServerLimits(http=http, websocket=websocket, drain=0, drain_http=GRACE / 2),
    )


def bind_of(address: tuple[str, int], *, ipv6: bool) -> str:
    """Return an address of Django's command as the server wants it."""
    host = "0.0.0.0" if address[0] == "0" else address[0]  # noqa: S104  the user asked for it
    return f"[{host}]:{address[1]}" if ipv6 and ":" in host else f"{host}:{address[1]}"


def log_access(access: Access) -> None:
    """Write a line of the access log, through the logger (and so in the colours) of Django's own server."""
    path = access.path.encode("unicode_escape").decode("ascii")
    if access.action == "http":
        text = f"HTTP {access.method} {path} {access.status or '-'} [{access.seconds:.2f}, {access.client}]"
    else:
        text = f"WebSocket {_WORDS[access.action]} {path} [{access.client}]"
    status = 0 if access.action == "disconnected" else access.status  # there it is a close code
    level = logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO
    details = {"status_code": status or 200, "server_time": time.strftime("%d/%b/%Y %H:%M:%S")}
    logger.log(level, "%s", text, extra=details)
