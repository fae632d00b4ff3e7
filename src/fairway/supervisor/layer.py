"""The layer behind a server: the hub's broker where the server hosts it, else the way to wherever it is."""

import argparse
from dataclasses import dataclass, replace
from typing import Any

from fairway.layers.base import Layer
from fairway.layers.hub.address import HubAddress, parse_url
from fairway.layers.hub.client import LocalLayer
from fairway.layers.hub.server import HubServer
from fairway.layers.memory import MemoryLayer
from fairway.layers.redis.address import hide_passwords
from fairway.layers.registry import LayerSetting, make_layer, make_upstream, parse_setting
from fairway.limits import BrokerLimits
from fairway.supervisor.options import server_limits

LOCAL = "local://"
ALIAS = "default"


@dataclass(frozen=True, kw_only=True)
class Backing:
    """A server's layer.

    `hub` opens it to other processes, where this process hosts it. `address` is where the hub is, None without one.
    """

    layer: Layer
    hub: HubServer | None
    address: HubAddress | None


def is_local(given: argparse.Namespace) -> bool:
    """Say whether the layer is one that a server hosts."""
    return not given.layer or given.layer.startswith(LOCAL)


def hub_address(given: argparse.Namespace) -> HubAddress | None:
    """Return where the hub is; None for a layer without one.

    Raises:
        InvalidLayerSetting: the URL cannot be used.
    """
    return parse_url(given.layer or LOCAL) if is_local(given) else None


def layer_name(given: argparse.Namespace) -> str:
    """Return the URL of the layer for a person to read: with the path, also where that is the project's own."""
    address = hub_address(given)
    if address is None:
        return hide_passwords(given.layer)
    return replace(address, upstream=hide_passwords(address.upstream or "")).url


def host_layer(given: argparse.Namespace) -> Backing:
    """Make the layer for the process that hosts it, if it is one that is hosted.

    Raises:
        InvalidLayerSetting: the URL or an option cannot be used.
    """
    address = hub_address(given)
    if address is None:
        return Backing(layer=reach_layer(given), hub=None, address=None)
    config: dict[str, Any] = {"limits": broker_limits(given)}
    backend = "fairway.layers.MemoryLayer"
    if address.upstream:
        backend = "fairway.layers.hub.joined.layer.JoinedLayer"
        config["upstream"] = make_upstream(address.upstream)
    for key in ("capacity", "expiry"):
        if pairs := getattr(given, key):
            config[key] = dict(map(_pair, pairs))
    layer = make_layer(LayerSetting(alias=ALIAS, backend=backend, config=config))
    if not isinstance(layer, MemoryLayer):  # pragma: no cover  make_layer has made what it was told
        raise TypeError(layer)
    return Backing(layer=layer, hub=HubServer(layer, address), address=address)


def reach_layer(given: argparse.Namespace) -> Layer:
    """Make the layer for a process that hosts none.

    Raises:
        InvalidLayerSetting: the URL cannot be used.
    """
    address = hub_address(given)
    if address is None:
        return make_layer(parse_setting(ALIAS, {"URL": given.layer}))
    return LocalLayer(address.path)


def broker_limits(given: argparse.Namespace) -> BrokerLimits:
    """Return the broker's limits. A message that a server no longer waits for is not begun."""
    limits = BrokerLimits()
    if given.layer_memory is not None:
        limits = replace(limits, total=given.layer_memory)
    server = server_limits(given)
    expiries = {"websocket.connect": server.websocket.connect_timeout, "http.request": server.http.answer_timeout}
    rules = tuple(
        (name, replace(rule, expiry=expiries[name]) if name in expiries else rule) for name, rule in limits.rules
    )
    return replace(limits, rules=rules)


def _pair(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    return name, int(number) if number.removeprefix("-").isdecimal() else float(number)
