"""The interface server: it holds the sockets, and knows no Django."""

from fairway.server.config import Access, ServerConfig
from fairway.server.listener import Server
from fairway.server.loop import new_event_loop

__all__ = ["Access", "Server", "ServerConfig", "new_event_loop"]
