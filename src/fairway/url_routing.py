"""Django's own `path()` and `re_path()` as routing entries for WebSockets.

The pattern sees the path of the message without its leading slash, as in a URLconf; converters give the consumer its
keyword arguments. The target is

* a class-based consumer: it gets the channels that its `channel_names()` names;
* `include([...])` of Fairway: its entries route by channel, and see the whole path;
* a function: it is called for `websocket.connect`, `websocket.receive` and `websocket.disconnect`, and tells them
  apart by `message.channel.name`.

`path("prefix/", django.urls.include([path(...), ...]))` nests patterns as it does in a URLconf.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, URLPattern, URLResolver

if TYPE_CHECKING:
    from fairway.message import Message

FUNCTION_CHANNELS = ("websocket.connect", "websocket.receive", "websocket.disconnect")
"""What a plain function below a path is called for."""


class PathEntry:
    """A pattern and what it leads to, as an entry of a routing.

    Raises:
        ImproperlyConfigured: the target is a Django view class, which knows requests and no messages.
    """

    def __init__(self, pattern: URLPattern | URLResolver) -> None:
        self.pattern = pattern
        self._channels = {id(target): channels_of(target) for target in targets_of(pattern)}

    def match(self, message: Message) -> tuple[Any, dict[str, Any]] | None:
        """Return the consumer of a message and its keyword arguments, or None."""
        found = self._resolve(message)
        if found is None:
            return None
        target, kwargs = found
        if message.channel_name not in self._channels[id(target)]:
            return None
        if not _is_routing(target):
            return target, kwargs
        inner = target.match(message)
        return (inner[0], {**kwargs, **inner[1]}) if inner else None

    def covers(self, message: Message) -> bool:
        """Say whether a message of this channel and path could match."""
        found = self._resolve(message)
        if found is None or message.channel_name not in self._channels[id(found[0])]:
            return False
        covers = getattr(found[0], "covers", None)
        return covers is None or covers(message)

    def channel_names(self) -> set[str]:
        """Return the channels of all targets."""
        return set().union(*self._channels.values())

    def _resolve(self, message: Message) -> tuple[Any, dict[str, Any]] | None:
        path = message.content.get("path")
        if not isinstance(path, str):
            return None
        root = settings.FORCE_SCRIPT_NAME
        path = (path_below(path, root) if root else path).removeprefix("/")
        pattern = self.pattern
        if isinstance(pattern, URLPattern):
            # The way of `URLPattern.resolve`, without the ResolverMatch, which costs five times as much.
            found = pattern.pattern.match(path)
            if not found:
                return None
            return pattern.callback, {**found[2], **pattern.default_args} if pattern.default_args else found[2]
        try:
            resolved = pattern.resolve(path)
        except Resolver404:
            return None
        return resolved.func, dict(resolved.kwargs)

    def __str__(self) -> str:
        """Show the pattern."""
        return f"path {self.pattern.pattern}"


def path_below(path: str, root: str) -> str:
    """Return the path below a mount point; "/" for the mount point itself, as under WSGI."""
    if root and (path == root or path.startswith(root if root.endswith("/") else f"{root}/")):
        path = path.removeprefix(root.rstrip("/"))
    return path or "/"


def channels_of(target: Any) -> set[str]:
    """Return the channels whose messages go to a target.

    Raises:
        ImproperlyConfigured: it is a Django view, or a generator function.
    """
    if hasattr(target, "view_class") or hasattr(target, "as_view"):
        msg = f"{target!r} is a Django view; a path() in ROUTING leads to a consumer or to fairway.include()"
        raise ImproperlyConfigured(msg)
    check_no_generator(target)
    channel_names = getattr(target, "channel_names", None)
    return set(channel_names()) if callable(channel_names) else set(FUNCTION_CHANNELS)


def check_no_generator(consumer: Any) -> None:
    """Let nobody route to a function with a `yield`: calling it runs nothing, and nobody iterates over its result.

    Raises:
        ImproperlyConfigured: it is one.
    """
    if inspect.isgeneratorfunction(consumer) or inspect.isasyncgenfunction(consumer):
        msg = f"the consumer {consumer!r} has a yield, so calling it would do nothing; send what it yields instead"
        raise ImproperlyConfigured(msg)


def _is_routing(target: Any) -> bool:
    return not isinstance(target, type) and callable(getattr(target, "match", None))


def targets_of(pattern: URLPattern | URLResolver) -> list[Any]:
    """Return what a pattern, or one of those in it, leads to."""
    if isinstance(pattern, URLPattern):
        return [pattern.callback]
    return [target for inner in pattern.url_patterns for target in targets_of(inner)]
