"""The layer behind a server: the hub's broker where the server hosts it, else the way to wherever it is."""

import argparse
from dataclasses import dataclass, replace
from typing import Any

from fairway.errors import InvalidLayerSetting
from fairway.layers.base import Layer
from fairway.layers.hub.address import HubAddress, parse_url
from fairway.layers.hub.client import LocalLayer
from fairway.layers.hub.secret import SecretSource
from fairway.layers.hub.server import HubServer
from fairway.layers.hub.tcp_doorway import TcpDoorway, TcpSettings
from fairway.layers.memory import MemoryLayer
from fairway.layers.redis.address import hide_passwords
from fairway.layers.registry import LayerSetting, make_layer, make_upstream, parse_setting, with_limits
from fairway.limits import BrokerLimits
from fairway.supervisor.options import LAYER_VARIABLE, server_limits

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

    def report(self) -> dict[str, Any]:
        """Return what `fairway status` shows of a hub that workers on other hosts reach; nothing of any other."""
        return {"hub": self.hub.report()} if self.hub and self.hub.tcp else {}

    @property
    def name(self) -> str:
        """Where workers on other hosts find the hub, as the end of a sentence in the log."""
        doorway = self.hub.tcp if self.hub else None
        return f", open to other hosts at {', '.join(doorway.bound)}" if doorway else ""


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


def layer_environ(given: argparse.Namespace) -> dict[str, str]:
    """Return how a server that we start learns its layer: all users of the host can read the arguments of a process."""
    return {LAYER_VARIABLE: given.layer} if given.layer else {}


def host_layer(given: argparse.Namespace) -> Backing:
    """Make the layer for the process that hosts it, if it is one that is hosted.

    Raises:
        InvalidLayerSetting: the URL or an option cannot be used.
    """
    address = hub_address(given)
    doorway = tcp_doorway(given)
    if address is None:
        return Backing(layer=reach_layer(given), hub=None, address=None)
    config = limits_config(given)
    backend = "fairway.layers.MemoryLayer"
    if address.upstream:
        backend = "fairway.layers.hub.joined.layer.JoinedLayer"
        config["upstream"] = make_upstream(address.upstream, config)
    layer = make_layer(LayerSetting(alias=ALIAS, backend=backend, config=config))
    if not isinstance(layer, MemoryLayer):  # pragma: no cover  make_layer has made what it was told
        raise TypeError(layer)
    return Backing(layer=layer, hub=HubServer(layer, address, tcp=doorway), address=address)


def tcp_doorway(given: argparse.Namespace) -> TcpDoorway | None:
    """Return where the hub listens for workers on other hosts; None when it does not.

    Raises:
        InvalidLayerSetting: one of the options cannot be used.
    """
    if not given.hub_bind:
        for name in ("hub_certificate", "hub_key", "hub_secret_file"):
            if value := getattr(given, name):
                msg = f"--{name.replace('_', '-')} {value} is for workers on other hosts; say where with --hub-bind"
                raise InvalidLayerSetting(msg)
        return None
    if not is_local(given):
        msg = (
            f"--hub-bind {given.hub_bind[0]} opens the hub of a local layer, and --layer is {layer_name(given)}, which "
            "workers on other hosts reach by themselves; leave one of the two out"
        )
        raise InvalidLayerSetting(msg)
    return TcpDoorway(
        TcpSettings(
            binds=tuple(given.hub_bind),
            certificate=given.hub_certificate or "",
            key=given.hub_key or "",
            secret=SecretSource(given.hub_secret_file or "", "--hub-secret-file"),
        )
    )


def reach_layer(given: argparse.Namespace) -> Layer:
    """Make the layer for a process that hosts none.

    Raises:
        InvalidLayerSetting: the URL cannot be used.
    """
    address = hub_address(given)
    if address is None:
        return make_layer(with_limits(parse_setting(ALIAS, {"URL": given.layer}), limits_config(given)))
    return LocalLayer(address.path)


def limits_config(given: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of limits, as the config of a layer that takes some."""
    config: dict[str, Any] = {"limits": broker_limits(given)}
    for key in ("capacity", "expiry"):
        if pairs := getattr(given, key):
            config[key] = dict(map(_pair, pairs))
    return config


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
