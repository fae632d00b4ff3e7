"""Origin checks as decorators, for sockets that are to be stricter than the server's own check (`wire.origin`).

The server lets a page of `CSRF_TRUSTED_ORIGINS` in, and a client without an Origin header, which is no browser.
`allowed_hosts_only` wants an origin from everybody, of a host in `ALLOWED_HOSTS`.
"""

import logging
import re
from collections.abc import Callable, Iterable
from functools import update_wrapper
from types import MethodType
from typing import Any

from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from fairway.consumers.calls import is_coroutine_function
from fairway.errors import DenyConnection
from fairway.message import Message
from fairway.security.targets import guard_class, message_of

logger = logging.getLogger("fairway.security")

LOCAL_HOSTS = (".localhost", "127.0.0.1", "[::1]")
"""What counts as `ALLOWED_HOSTS` while it is empty and DEBUG is on, as in Django."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://([^/?#@\\\s]+)", re.IGNORECASE)
"""A serialised origin (RFC 6454, 6.2): scheme, host and port, with no path and no user."""


class BaseOriginValidator:
    """A decorator that refuses a connecting WebSocket by its origin. Subclasses override `validate_origin`.

    It stands on the consumer of `websocket.connect`, be it a function, coroutine or method; on a class-based consumer
    it looks at each connection when it begins. Messages that come later carry no headers, so a decorated function that
    gets them refuses them, too.

    Parameters:
        func: what is called when the origin is a good one.
    """

    func: Callable[..., Any]

    def __new__(cls, func: Callable[..., Any]) -> Any:
        """Decorate; a class comes back as itself."""
        if isinstance(func, type):
            guard_class(func, cls._at_connect, cls.__name__)
            return func
        return super().__new__(cls)

    def __init__(self, func: Callable[..., Any]) -> None:
        update_wrapper(self, func)
        self.func = func
        if is_coroutine_function(func):
            markcoroutinefunction(self)

    @classmethod
    def _at_connect(cls, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate the method of a class that handles some message."""
        validator = cls(handler)

        def guarded(*args: Any, **kwargs: Any) -> Any:
            is_first = message_of(args, cls.__name__).channel_name == "websocket.connect"
            return (validator if is_first else handler)(*args, **kwargs)

        return markcoroutinefunction(guarded) if is_coroutine_function(handler) else guarded

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        """Bind to a consumer, as a function in its class would be."""
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the consumer, if the origin is a good one.

        Raises:
            DenyConnection: it is not, or there is none that can be read.
        """
        message = message_of(args, type(self).__name__)
        origin = self.get_origin(message)
        if not self.validate_origin(message, origin):
            logger.warning("origin %.200r is refused on path %.200r", origin, message.get("path"))
            raise DenyConnection(f"origin {origin!r:.200} is refused")
        return self.func(*args, **kwargs)

    def get_header(self, message: Message, name: bytes) -> list[Any]:
        """Return what stands behind the name of a header: its value, as a list of one.

        Raises:
            KeyError: the message has no such header, or no headers.
        """
        headers = message.content["headers"]
        pairs: Iterable[Any] = headers.items() if isinstance(headers, dict) else headers
        for pair in pairs:
            if pair and _bytes(pair[0]).lower() == name:
                return list(pair[1:])
        raise KeyError(f"no header named {name!r}")

    def get_origin(self, message: Message) -> str:
        """Return the Origin header.

        Raises:
            DenyConnection: there is none, or it is not ASCII.
        """
        try:
            return _bytes(self.get_header(message, b"origin")[0]).decode("ascii")
        except (KeyError, IndexError):
            msg = f"a message of {message.channel_name!r} came without an Origin header"
            raise DenyConnection(msg) from None
        except UnicodeDecodeError:
            raise DenyConnection("an Origin header that is not ASCII") from None

    def validate_origin(self, message: Message, origin: str) -> bool:
        """Say whether a page of this origin may connect."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a method validate_origin(message, origin)")


class AllowedHostsOnlyOriginValidator(BaseOriginValidator):
    """Refuses every origin whose host is not in `ALLOWED_HOSTS`. Scheme and port are not compared."""

    def validate_origin(self, message: Message, origin: str) -> bool:  # noqa: ARG002  as in the base class
        """Say whether the host of an origin is one of the setting's; `null` and `file://` have none."""
        found = _ORIGIN.fullmatch(origin)
        host = split_domain_port(found[1])[0] if found else ""
        allowed = settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else ())
        return bool(host) and validate_host(host, allowed)


allowed_hosts_only = AllowedHostsOnlyOriginValidator


def _bytes(text: str | bytes) -> bytes:
    """Return what may have come as text, in a test or from another server."""
    return text.encode() if isinstance(text, str) else text
