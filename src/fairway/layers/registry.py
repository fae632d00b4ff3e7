"""The layers of a process by alias, each made from its setting when it is first asked for.

Where the settings come from is not known here: `fairway.conf` reads them from Django, a command from its options.
"""

import difflib
import importlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fairway.errors import InvalidLayerSetting
from fairway.layers.base import Layer
from fairway.layers.hub.address import parse_options
from fairway.layers.hub.tcp_address import parse_tcp_url
from fairway.layers.redis.address import SCHEMES as REDIS_SCHEMES
from fairway.layers.redis.address import hide_passwords, parse_redis_url
from fairway.limits import UNGATED, UNLIMITED, BrokerLimits, ChannelRule

KEYS = ("BACKEND", "URL", "CONFIG", "TEST_CONFIG", "ROUTING")
SCHEMES = {
    "memory": "fairway.layers.MemoryLayer",
    "local": "fairway.layers.LocalLayer",
    "tcp": "fairway.layers.remote_layer",
    "tcp+tls": "fairway.layers.remote_layer",
    **dict.fromkeys(REDIS_SCHEMES, "fairway.layers.RedisLayer"),
}
"""URL scheme -> backend."""


def _redis_options(url: str) -> Mapping[str, Any]:
    parse_redis_url(url)
    return {"url": url}


PARSERS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "local": parse_options,
    "tcp": parse_tcp_url,
    "tcp+tls": parse_tcp_url,
    **dict.fromkeys(REDIS_SCHEMES, _redis_options),
}
"""URL scheme -> what returns the part of a layer's config that a URL holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSetting:
    """One entry of `CHANNEL_LAYERS`, checked for what can be checked without importing anything."""

    alias: str
    backend: str
    config: Mapping[str, Any] = field(default_factory=dict)
    test_config: Mapping[str, Any] | None = None
    routing: Any = None


class LayerRegistry:
    """Layers by alias.

    Parameters:
        read: returns what `CHANNEL_LAYERS` says at this moment.
    """

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._layers: dict[str, Layer] = {}
        self._lock = threading.Lock()

    def __getitem__(self, alias: str) -> Layer:
        """Return the layer of an alias, made when it is first asked for.

        Raises:
            InvalidLayerSetting: there is no such alias, or its setting is wrong.
        """
        layer = self._layers.get(alias)
        if layer is None:
            with self._lock:
                layer = self._layers.get(alias)
                if layer is None:
                    layer = self._layers[alias] = self.make(alias)
        return layer

    def __contains__(self, alias: object) -> bool:
        """Say whether an alias is configured; makes nothing."""
        return alias in self._layers or alias in self._all()

    def __iter__(self) -> Iterator[str]:
        """Iterate over the configured aliases."""
        return iter(self._all())

    def setting(self, alias: str) -> LayerSetting:
        """Return the setting of an alias.

        Raises:
            InvalidLayerSetting: there is none, or it is wrong.
        """
        settings = self._all()
        if alias not in settings:
            known = ", ".join(map(repr, settings)) or "none"
            msg = f"CHANNEL_LAYERS has no {alias!r} (it has: {known}); add it, or use another alias"
            raise InvalidLayerSetting(msg)
        return parse_setting(alias, settings[alias])

    def make(self, alias: str, *, for_test: bool = False) -> Layer:
        """Return a new layer that the registry does not keep, for a test from its `TEST_CONFIG`.

        Raises:
            InvalidLayerSetting: as `setting`; or the layer has no `TEST_CONFIG`; or its class refuses the config.
        """
        setting = self.setting(alias)
        if for_test:
            if setting.test_config is None:
                raise _wrong(alias, "TEST_CONFIG", None, "a test needs it; {} takes the defaults")
            setting = replace(setting, config=setting.test_config)
        return make_layer(setting)

    def set(self, alias: str, layer: Layer | None) -> Layer | None:
        """Put a layer in the place of an alias's, or None to have it made anew; return what was there."""
        with self._lock:
            before = self._layers.pop(alias, None)
            if layer is not None:
                self._layers[alias] = layer
            return before

    def clear(self) -> None:
        """Close all layers and forget them: the settings have changed."""
        with self._lock:
            layers = list(self._layers.values())
            self._layers.clear()
        for layer in layers:
            layer.close()

    def _all(self) -> Mapping[str, Any]:
        settings = self._read() or {}
        if not isinstance(settings, Mapping):
            msg = f"CHANNEL_LAYERS is a dict of alias to settings, not {type(settings).__name__}: {settings!r:.100}"
            raise InvalidLayerSetting(msg)
        return settings


def parse_setting(alias: str, raw: Any) -> LayerSetting:
    """Return one entry of `CHANNEL_LAYERS`, checked.

    Raises:
        InvalidLayerSetting: names the alias, the key, the value and the remedy.
    """
    if not isinstance(raw, Mapping):
        msg = f"CHANNEL_LAYERS[{alias!r}] is a dict, not {type(raw).__name__}: {raw!r:.100}"
        raise InvalidLayerSetting(msg)
    for key in raw:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key).upper(), KEYS, 1)
            remedy = f"{near[0]!r} is meant" if near else f"the keys are {', '.join(KEYS)}"
            raise _wrong(alias, key, raw[key], f"is no setting of a layer; {remedy}")
    for key in ("CONFIG", "TEST_CONFIG"):
        if not isinstance(raw.get(key) or {}, Mapping):
            raise _wrong(alias, key, raw[key], "must be a dict of keyword arguments for the backend")
    return LayerSetting(
        alias=alias,
        backend=_backend_of(alias, raw),
        config={**_config_of_url(alias, raw.get("URL")), **(raw.get("CONFIG") or {})},
        test_config=raw.get("TEST_CONFIG"),
        routing=raw.get("ROUTING"),
    )


def make_layer(setting: LayerSetting) -> Layer:
    """Import the backend of a setting and make the layer.

    Raises:
        InvalidLayerSetting: the class cannot be imported or refuses its config.
    """
    backend = import_backend(setting)
    config = dict(setting.config)
    options = _options_of(backend)
    if not config.keys().isdisjoint(("capacity", "expiry")):
        if "limits" in options:
            config["limits"] = _limits(setting.alias, config)
        elif setting.backend == SCHEMES["local"]:
            remedy = (
                "holds limits of the hub, which `fairway serve` and `fairway up` take: --capacity CHANNEL=N, --expiry"
            )
            raise _wrong(setting.alias, "CONFIG", dict(setting.config), remedy)
    try:
        layer = backend(**config)
    except (TypeError, ValueError) as error:
        known = ", ".join(options)
        remedy = f"is refused by the backend: {error}" + (f"; it takes {known}" if known else "")
        raise _wrong(setting.alias, "CONFIG", dict(setting.config), remedy) from error
    if not isinstance(layer, Layer):
        raise _wrong(setting.alias, "BACKEND", setting.backend, "is no channel layer; name a subclass of Layer")
    return layer


def make_upstream(url: str, limits: Mapping[str, Any] | None = None) -> Layer:
    """Make the layer that joins a hub with others, from the `upstream` of the hub's URL.

    `limits` is what the hub's own config says of them: an upstream that takes some has the same.

    Raises:
        InvalidLayerSetting: it cannot be used, or is of one process alone.
    """
    try:
        layer = make_layer(with_limits(parse_setting("upstream", {"URL": url}), limits or {}))
    except InvalidLayerSetting as error:
        shown = hide_passwords(url)
        raise InvalidLayerSetting(f"the hub's upstream {shown!r} cannot be used: {error}") from error
    if not layer.is_shared:
        layer.close()
        msg = f"the hub's upstream {url!r} is of one process alone; name one that other hosts reach, such as redis://"
        raise InvalidLayerSetting(msg)
    return layer


def with_limits(setting: LayerSetting, limits: Mapping[str, Any]) -> LayerSetting:
    """Return a setting with the limits that a server was told, where its backend takes some.

    Raises:
        InvalidLayerSetting: the class cannot be imported.
    """
    if "limits" not in _options_of(import_backend(setting)):
        return setting
    return replace(setting, config={**limits, **setting.config})


def import_backend(setting: LayerSetting) -> Callable[..., Any]:
    """Import the class that a setting names.

    Raises:
        InvalidLayerSetting: it cannot be imported.
    """
    module, _, name = setting.backend.rpartition(".")
    try:
        backend = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(dict.fromkeys(SCHEMES.values()))
        remedy = f"cannot be imported: {error}; Fairway has {known}"
        if isinstance(error, ImportError) and error.name in ("redis", "hiredis"):
            remedy = f"needs {error.name}, which is not installed: pip install 'fairway[redis]'"
        raise _wrong(setting.alias, "BACKEND", setting.backend, remedy) from error
    if not callable(backend):
        raise _wrong(setting.alias, "BACKEND", setting.backend, "is no class")
    return backend  # type: ignore[no-any-return]


def _backend_of(alias: str, raw: Mapping[str, Any]) -> str:
    backend, url = raw.get("BACKEND"), raw.get("URL")
    if backend and url:
        raise _wrong(alias, "URL", url, f"comes with a 'BACKEND' ({backend!r}); keep one of the two")
    if url:
        scheme = _scheme(url) if isinstance(url, str) else ""
        if scheme not in SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise _wrong(alias, "URL", url, f"is no URL of a layer; known: {known}")
        return SCHEMES[scheme]
    if not isinstance(backend, str) or "." not in backend:
        raise _wrong(alias, "BACKEND", backend, "must be a dotted path, such as 'fairway.layers.MemoryLayer'")
    return backend


def _config_of_url(alias: str, url: Any) -> Mapping[str, Any]:
    """Return the part of a layer's config that its URL holds; its scheme is known."""
    if not url:
        return {}
    scheme = _scheme(url)
    parse = PARSERS.get(scheme)
    if parse:
        try:
            options = parse(url)
        except InvalidLayerSetting as error:
            raise _wrong(alias, "URL", url, f"cannot be used: {error}") from error
        return {key: value for key, value in options.items() if value}
    if url != f"{scheme}://":
        raise _wrong(alias, "URL", url, f"must be just {scheme}://; options go into CONFIG")
    return {}


def _scheme(url: str) -> str:
    """Return the scheme of a URL, which may name several hosts: too many for `urllib`."""
    return url.partition(":")[0]


def _options_of(backend: Callable[..., Any]) -> list[str]:
    """Return what a backend's CONFIG may hold, as far as can be told."""
    try:
        names = list(inspect.signature(backend).parameters)
    except (TypeError, ValueError):  # a class in C that does not tell
        return []
    return [*names, "capacity", "expiry"] if "limits" in names else names


def _limits(alias: str, config: dict[str, Any]) -> BrokerLimits:
    """Take `capacity` and `expiry` (name pattern -> number) out of a config, and put them before the default rules."""
    changes: dict[str, dict[str, Any]] = {}
    for key in ("capacity", "expiry"):
        value = config.pop(key, {})
        if not isinstance(value, Mapping):
            raise _wrong(alias, f"CONFIG']['{key}", value, "must be a dict of channel name pattern to number")
        for pattern, number in value.items():
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise _wrong(alias, f"CONFIG']['{key}", {pattern: number}, "must hold numbers")
            if number <= 0 and number != UNLIMITED:
                raise _wrong(alias, f"CONFIG']['{key}", {pattern: number}, "must be above 0, or -1 for no limit")
            is_endless = key == "capacity" and number == UNLIMITED
            changes.setdefault(pattern, {})[key] = UNGATED if is_endless else number
    limits: BrokerLimits = config.get("limits") or BrokerLimits()
    rules = tuple((pattern, replace(_rule(limits, pattern), **change)) for pattern, change in changes.items())
    return replace(limits, rules=rules + limits.rules)


def _rule(limits: BrokerLimits, pattern: str) -> ChannelRule:
    """Return the rule that held for the channels of a pattern before."""
    return dict(limits.rules).get(pattern) or ChannelRule()


def _wrong(alias: str, key: object, value: object, remedy: str) -> InvalidLayerSetting:
    # Hidden before it is cut: half a password is one too much.
    shown = f"{hide_passwords(repr(value)):.200}"
    text = f"CHANNEL_LAYERS[{alias!r}][{key!r}] = {shown} {hide_passwords(remedy)}"
    return InvalidLayerSetting(text.replace('"', "'"))
