"""Channel layers: the contract (`base`), and the backends, each imported when it is named."""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.layers.hub.client import LocalLayer
    from fairway.layers.hub.remote import remote_layer
    from fairway.layers.memory import MemoryLayer
    from fairway.layers.redis.layer import RedisLayer

_HOMES = {
    "LocalLayer": "fairway.layers.hub.client",
    "MemoryLayer": "fairway.layers.memory",
    "RedisLayer": "fairway.layers.redis.layer",
    "remote_layer": "fairway.layers.hub.remote",
}

__all__ = ["LocalLayer", "MemoryLayer", "RedisLayer", "remote_layer"]

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
