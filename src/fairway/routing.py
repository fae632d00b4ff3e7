"""Which consumer gets a message: by channel, by filters on the message's keys, or by Django's own URL patterns.

A routing is a list of entries, a dict ``{channel: consumer}``, or the dotted path of either::

    channel_routing = [
        route("websocket.receive", ws_echo, path=r"^/echo/$"),
        route_class(ChatServer, path=r"^/chat/"),
        include("blog.routing.channel_routing", path=r"^/liveblog"),
        path("ws/chat/<slug:room>/", ChatServer),              # django.urls.path
    ]

The first entry that matches wins. Anything with `match(message)` and `channel_names()` may stand in a routing.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, cast

from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver
from django.utils.module_loading import import_string

from fairway.message import Message
from fairway.url_routing import PathEntry, check_no_generator, targets_of

MOST_KNOWN = 1024
"""Paths, and channels, of which a router knows what was found; at one more it begins anew."""

LONGEST_KNOWN = 200
"""Characters of a path that is remembered."""

Consumer = Callable[..., Any]
Match = tuple[Consumer, dict[str, Any]]


class Entry:
    """What may stand in a routing."""

    def match(self, message: Message) -> Match | None:
        """Return the consumer of a message and its keyword arguments, or None."""
        raise NotImplementedError

    def covers(self, message: Message) -> bool:
        """Say whether a message of this path could match, whatever other keys are still to come."""
        return self.match(message) is not None

    def channel_names(self) -> set[str]:
        """Return the channels whose messages may match."""
        raise NotImplementedError

    def __call__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Raise: an entry is callable so that Django's `path()` takes it for a target, and is never called."""
        msg = f"{self} is routing for messages; a view it is not, so it belongs into ROUTING and not into ROOT_URLCONF"
        raise TypeError(msg)


class Route(Entry):
    """One consumer for some channels, where all filters match. Public name: `route`.

    Parameters:
        channels: a channel name, or several.
        consumer: a callable or its dotted path.
        filters: message key to regular expression, matched from the start of the value. Named groups become keyword
            arguments of the consumer.

    Raises:
        ImproperlyConfigured: the dotted path leads nowhere, or a channel name is no text.
        ValueError: a filter is no regular expression, or has a group without a name.
    """

    def __init__(
        self, channels: str | bytes | Iterable[str | bytes], consumer: Consumer | str, **filters: str | bytes
    ) -> None:
        self.channels = _names(channels)
        self.consumer: Consumer = _resolve_consumer(consumer)
        self.filters = compile_filters(filters)
        for key, pattern in self.filters.items():
            if pattern.groups != len(pattern.groupindex):
                msg = f"the filter {key}={pattern.pattern!r} has a group without a name; write (?P<name>...) or (?:...)"
                raise ValueError(msg)

    def match(self, message: Message) -> Match | None:
        """See `Entry.match`."""
        if message.channel_name not in self.channels:
            return None
        kwargs: dict[str, Any] = {}
        for key, pattern in self.filters.items():
            found = match_filter(pattern, message.content.get(key))
            if found is None:
                return None
            if pattern.groups:
                kwargs.update(found.groupdict())
        return self.consumer, kwargs

    def covers(self, message: Message) -> bool:
        """See `Entry.covers`."""
        content = message.content
        return message.channel_name in self.channels and all(
            key not in content or match_filter(pattern, content[key]) for key, pattern in self.filters.items()
        )

    def channel_names(self) -> set[str]:
        """See `Entry.channel_names`."""
        return set(self.channels)

    def __str__(self) -> str:
        """Show the route on one line."""
        filters = ", ".join(f"{key}={pattern.pattern}" for key, pattern in self.filters.items())
        return f"{'/'.join(self.channels)}{f' ({filters})' if filters else ''} -> {describe_consumer(self.consumer)}"


class RouteClass(Route):
    """One class-based consumer for the channels it names itself. Public name: `route_class`.

    Raises:
        ValueError: the class has no `channel_names()`.
        ImproperlyConfigured: as `Route`.
    """

    def __init__(self, consumer: Consumer | str, **filters: str | bytes) -> None:
        consumer = _resolve_consumer(consumer)
        channel_names = getattr(consumer, "channel_names", None)
        if not callable(channel_names):
            msg = f"{describe_consumer(consumer)} has no channel_names(); route_class() is for class-based consumers"
            raise ValueError(msg)  # noqa: TRY004  the name it has always had
        super().__init__(sorted(channel_names()), consumer, **filters)


class Include(Entry):
    """Other routing, for messages whose keys match the prefixes. Public name: `include`.

    The part a prefix matches is cut off before the inner entries look; the message itself is not changed.
    """

    def __init__(self, routing: Routing, **prefixes: str | bytes) -> None:
        self.routing = resolve_routing(routing)
        self.prefixes = compile_filters(prefixes)
        self.entries = EntryIndex(self.routing)

    def match(self, message: Message) -> Match | None:
        """See `Entry.match`."""
        stripped = self._strip(message, is_lenient=False)
        if stripped is None:
            return None
        inner, kwargs = stripped
        found = self.entries.match(inner)
        if found is None:
            return None
        return (found[0], {**kwargs, **found[1]}) if kwargs else found

    def covers(self, message: Message) -> bool:
        """See `Entry.covers`."""
        stripped = self._strip(message, is_lenient=True)
        return stripped is not None and self.entries.covers(stripped[0])

    def channel_names(self) -> set[str]:
        """See `Entry.channel_names`."""
        return self.entries.channel_names()

    def _strip(self, message: Message, *, is_lenient: bool) -> tuple[Message, dict[str, Any]] | None:
        if not self.prefixes:
            return message, {}
        content = dict(message.content)
        kwargs: dict[str, Any] = {}
        for key, pattern in self.prefixes.items():
            if is_lenient and key not in content:
                continue
            found = match_filter(pattern, content.get(key))
            if found is None:
                return None
            kwargs.update(found.groupdict())
            content[key] = found.string[found.end() :]
        return Message(content, message.channel_name, message.channel_layer), kwargs

    def __str__(self) -> str:
        """Show prefixes and the number of entries."""
        prefixes = ", ".join(f"{key}={pattern.pattern}" for key, pattern in self.prefixes.items())
        return f"include of {len(self.routing)} entries{f' ({prefixes})' if prefixes else ''}"


class EntryIndex:
    """Entries sorted by channel once, so that a message looks only at those that may match."""

    def __init__(self, routing: list[Any]) -> None:
        self._by_channel: dict[str, list[Entry]] = {}
        for entry in routing:
            self.add(entry)

    def add(self, entry: Any) -> None:
        """Append an entry; a pattern of Django's is wrapped.

        Raises:
            ImproperlyConfigured: it is none.
        """
        for name in (entry := _as_entry(entry)).channel_names():
            self._by_channel.setdefault(name, []).append(entry)

    def match(self, message: Message) -> Match | None:
        """Return what the first matching entry says, or None."""
        for entry in self._by_channel.get(message.channel_name or "", ()):
            found = entry.match(message)
            if found is not None:
                return found
        return None

    def covers(self, message: Message) -> bool:
        """Say whether any entry covers the message."""
        for entry in self._by_channel.get(message.channel_name or "", ()):
            covers = getattr(entry, "covers", entry.match)  # entries of other people have no `covers`
            if covers(message):
                return True
        return False

    def channel_names(self) -> set[str]:
        """Return all channels."""
        return set(self._by_channel)

    def channels_by_path(self) -> set[str]:
        """Return the channels where a message's path alone decides which entry matches."""
        return {name for name, entries in self._by_channel.items() if all(map(_is_by_path, entries))}


class Router:
    """The whole routing of a layer.

    Where nothing but the path decides, what was found for a path is remembered: most sockets have one path, and say
    many things.
    """

    def __init__(self, routing: Routing) -> None:
        self.root = Include(routing)
        self._known: dict[tuple[str, str], Match | None] = {}
        self._by_path = self.root.entries.channels_by_path()

    @property
    def channels(self) -> set[str]:
        """The names of all channels that are routed."""
        return self.root.channel_names()

    def match(self, message: Message) -> Match | None:
        """Return the consumer of a message and its keyword arguments, or None."""
        channel, path = message.channel_name, message.content.get("path")
        if channel not in self._by_path or type(path) is not str or len(path) > LONGEST_KNOWN:
            return self.root.entries.match(message)
        known = self._known
        try:
            found = known[channel, path]
        except KeyError:
            if len(known) >= MOST_KNOWN:
                known.clear()
            found = known[channel, path] = self.root.entries.match(message)
        return (found[0], found[1].copy()) if found and found[1] else found

    def covers(self, message: Message) -> bool:
        """Say whether a message of this channel and path could match, whatever its other keys."""
        return self.root.entries.covers(message)

    def consumers(self) -> list[Consumer]:
        """Return the consumers of all entries, as far as entries tell theirs, and those of demultiplexers' streams."""
        return _consumers_of(self.root.routing)

    def add_route(self, entry: Any) -> None:
        """Append an entry, also to the list that was passed in."""
        self.root.entries.add(entry)
        self.root.routing.append(entry)
        self._by_path = self.root.entries.channels_by_path()
        self._known = {}


Routing = str | Mapping[str | bytes, Consumer | str] | list[Any] | tuple[Any, ...]

route = Route
route_class = RouteClass
include = Include


def resolve_routing(routing: Routing) -> list[Any]:
    """Return a routing as the list that it is or leads to.

    Raises:
        ImproperlyConfigured: the dotted path leads nowhere, or to no routing.
    """
    if isinstance(routing, str):
        routing = cast("Routing", _import("routing", routing))
    if isinstance(routing, Mapping):
        return [Route(channel, consumer) for channel, consumer in routing.items()]
    if isinstance(routing, list):
        return routing
    if isinstance(routing, tuple):
        return list(routing)
    msg = f"a routing is a list, a dict or a dotted path to one, not {type(routing).__name__}: {routing!r:.100}"
    raise ImproperlyConfigured(msg)


def compile_filters(filters: Mapping[str, str | bytes]) -> dict[str, re.Pattern[str]]:
    """Compile filters; bytes are ASCII, so that both kinds may be mixed.

    Raises:
        ValueError: one is no regular expression.
    """
    compiled = {}
    for key, pattern in filters.items():
        try:
            compiled[key] = re.compile(_decoded(pattern))
        except (re.error, TypeError) as error:
            msg = f"the filter {key}={pattern!r:.100} is no regular expression: {error}"
            raise ValueError(msg) from error
    return compiled


def match_filter(pattern: re.Pattern[str], value: object) -> re.Match[str] | None:
    """Match a value of a message; what is no text does not match."""
    if type(value) is str:
        return pattern.match(value)
    if isinstance(value, bytes):
        if not value.isascii():
            return None
        value = value.decode("ascii")
    return pattern.match(value) if isinstance(value, str) else None


def describe_consumer(consumer: Any) -> str:
    """Return the dotted name of a consumer, for people."""
    named = consumer if hasattr(consumer, "__qualname__") else type(consumer)
    return f"{named.__module__}.{named.__qualname__}"


def _import(what: str, path: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        msg = f"the {what} {path!r} cannot be imported: {error}{_place(error)}"
        raise ImproperlyConfigured(msg) from error


def _place(error: ImportError) -> str:
    """Say where an import failed, when that was in a module on the way and not for the path itself."""
    frames = traceback.extract_tb(error.__traceback__)
    inner = [frame for frame in frames if "importlib" not in frame.filename and frame.name == "<module>"]
    return f" ({inner[-1].filename}, line {inner[-1].lineno})" if inner else ""


def _consumers_of(routing: Iterable[Any]) -> list[Consumer]:
    found: list[Any] = []
    for entry in routing:
        if isinstance(entry, Include):
            found += _consumers_of(entry.routing)
        elif isinstance(entry, URLPattern | URLResolver):
            found += _consumers_of(targets_of(entry))
        else:
            consumer = getattr(entry, "consumer", entry)
            streams = getattr(consumer, "consumers", None)
            found += [consumer, *(streams.values() if isinstance(streams, Mapping) else ())]
    return found


def _is_by_path(entry: Any) -> bool:
    """Say whether nothing but the path of a message matters to an entry. Those of other people may look at anything."""
    kind = type(entry)
    if kind is Route or kind is RouteClass:
        return set(entry.filters) <= {"path"}
    if kind is Include:
        return set(entry.prefixes) <= {"path"} and entry.entries.channels_by_path() == entry.channel_names()
    return False


def _resolve_consumer(consumer: Consumer | str) -> Consumer:
    if isinstance(consumer, str):
        consumer = cast("Consumer", _import("consumer", consumer))
    if not callable(consumer):
        msg = f"a consumer is a callable or its dotted path, not {type(consumer).__name__}: {consumer!r:.100}"
        raise ImproperlyConfigured(msg)
    check_no_generator(consumer)
    return consumer


def _as_entry(entry: Any) -> Any:
    if isinstance(entry, URLPattern | URLResolver):
        return PathEntry(entry)
    if callable(getattr(entry, "match", None)) and callable(getattr(entry, "channel_names", None)):
        return entry
    msg = f"a routing holds route(), route_class(), include() and path(), not {type(entry).__name__}: {entry!r:.100}"
    raise ImproperlyConfigured(msg)


def _names(channels: Any) -> list[str]:
    names = list(channels) if isinstance(channels, Iterable) and not isinstance(channels, str | bytes) else [channels]
    if not all(isinstance(name, str | bytes) for name in names):
        msg = f"a route takes the name of a channel or a list of names, not {channels!r:.100}"
        raise ImproperlyConfigured(msg)
    return [_decoded(name) for name in names]


def _decoded(text: str | bytes) -> str:
    return text.decode("ascii") if isinstance(text, bytes) else text
