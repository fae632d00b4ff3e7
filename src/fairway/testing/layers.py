"""Layers for a test: fresh ones in this process in the place of those that the settings name, and their routing.

A change of `CHANNEL_LAYERS` while they are in place (`override_settings`) puts fresh ones in again, so that what runs
inside a test case never reaches a real layer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from django.core.signals import setting_changed

from fairway.application import DjangoApplication
from fairway.conf import channel_layers
from fairway.database import care_by_message
from fairway.errors import InvalidLayerSetting
from fairway.layers.base import Layer
from fairway.layers.memory import MemoryLayer
from fairway.message import Message
from fairway.routing import Router, resolve_routing

_stack: list["PlacedLayers"] = []
"""What is in place; only the last one counts."""

_routings: dict[str, list[Any]] = {}
"""Alias -> the routing that holds instead of the setting's."""

_applications: dict[str, tuple[Any, DjangoApplication]] = {}
"""Alias -> its routing, and the application that was made from it last."""


class PlacedLayers:
    """A context in which some aliases have other layers than the settings say.

    Parameters:
        aliases: which.
        strict: whether an alias that the settings do not name is an error; where they name no layers at all, none is.
    """

    def __init__(self, aliases: Sequence[str], *, strict: bool = True) -> None:
        self._aliases = list(aliases)
        self._strict = strict
        self._before: dict[str, Layer | None] = {}
        self._placed: dict[str, Layer] = {}

    def make(self, alias: str) -> Layer:
        """Return the layer for an alias."""
        del alias
        return MemoryLayer()

    def __enter__(self) -> Self:
        configured = list(channel_layers)
        for alias in self._aliases:
            if self._strict and configured and alias not in configured:
                msg = (
                    f"test_channel_aliases names {alias!r}, and CHANNEL_LAYERS has only "
                    f"{', '.join(map(repr, configured))}; set test_channel_aliases to those that the test uses"
                )
                raise InvalidLayerSetting(msg)
        self._before = {alias: channel_layers.set(alias, None) for alias in self._aliases}
        _stack.append(self)
        self.place()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _stack.remove(self)
        for alias, layer in self._before.items():
            channel_layers.set(alias, layer)
            _applications.pop(alias, None)
        for layer in self._placed.values():
            layer.close()

    def place(self) -> None:
        """Put new layers in."""
        for alias in self._aliases:
            layer = self._placed[alias] = self.make(alias)
            channel_layers.set(alias, layer)


def _place_again(*, setting: str, **_kwargs: Any) -> None:
    """Run after the receiver of `fairway.conf`, which has closed all layers."""
    if setting == "CHANNEL_LAYERS" and _stack:
        _stack[-1].place()


setting_changed.connect(_place_again, dispatch_uid="fairway.testing.layers")


def memory_layer(alias: str) -> MemoryLayer:
    """Return the layer of an alias for a client, which is a server on it.

    Raises:
        InvalidLayerSetting: it is none of this process.
    """
    layer = channel_layers[alias]
    if not isinstance(layer, MemoryLayer):
        msg = (
            f"a test client wants a layer in this process, and CHANNEL_LAYERS[{alias!r}] is a {type(layer).__name__}; "
            "use ChannelTestCase or TransactionChannelTestCase (test_channel_aliases), or the fixture channel_layer"
        )
        raise InvalidLayerSetting(msg)
    return layer


@contextmanager
def routing_replaced(alias: str, routing: list[Any]) -> Iterator[None]:
    """Let other routing hold for an alias."""
    before = _routings.get(alias)
    _routings[alias] = routing
    try:
        yield
    finally:
        if before is None:
            del _routings[alias]
        else:
            _routings[alias] = before


def application_of(alias: str) -> DjangoApplication:
    """Return what runs the consumers of an alias's layer: with the routing of this moment.

    Raises:
        ImproperlyConfigured: the routing is wrong.
    """
    layer, routing = channel_layers[alias], _routing_of(alias)
    known = _applications.get(alias)
    if known is None or known[0] is not routing or known[1].layer is not layer:
        router = Router(list(resolve_routing(routing)))
        known = routing, DjangoApplication(layer, router, http_consumer=_answer_with_views)
        _applications[alias] = known
    return known[1]


_NO_ROUTING: list[Any] = []


def _routing_of(alias: str) -> Any:
    if alias in _routings:
        return _routings[alias]
    if alias not in list(channel_layers):
        return _NO_ROUTING
    routing = channel_layers.setting(alias).routing
    return _NO_ROUTING if routing is None else routing


def _answer_with_views(message: Message, **_kwargs: Any) -> None:
    """Let Django's views answer, with the middleware that the settings name at this moment."""
    from fairway.http.consumers import ViewConsumer

    with care_by_message():  # nobody is to close the connections of the test
        ViewConsumer()(message)
