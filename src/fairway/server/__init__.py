"""The interface server: it holds the sockets, and knows no Django."""

from fairway.errors import MissingExtra
from fairway.server.config import Access, ServerConfig

try:
    from fairway.server.listener import Server
except ImportError as error:
    raise MissingExtra(f"the interface server ({error})", "server") from error
from fairway.server.loop import new_event_loop

__all__ = ["Access", "Server", "ServerConfig", "new_event_loop"]
