"""The interface server: it holds the sockets, and knows no Django."""

from fairway.server.config import Access, ServerConfig
from fairway.server.listener import Server

__all__ = ["Access", "Server", "ServerConfig"]
