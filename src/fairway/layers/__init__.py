"""Channel layers: the contract (`base`), and the backends, each imported when it is named."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.layers.hub.client import LocalLayer
    from fairway.layers.memory import MemoryLayer

_HOMES = {"LocalLayer": "fairway.layers.hub.client", "MemoryLayer": "fairway.layers.memory"}

__all__ = ["LocalLayer", "MemoryLayer"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value
