"""Models bound to clients: a saved object is sent to the groups that may see it, and clients may change it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.binding.base import CREATE, DELETE, UPDATE, Binding, BindingMetaclass
    from fairway.binding.members import WebsocketBindingWithMembers
    from fairway.binding.websockets import WebsocketBinding

__all__ = [
    "CREATE",
    "DELETE",
    "UPDATE",
    "Binding",
    "BindingMetaclass",
    "WebsocketBinding",
    "WebsocketBindingWithMembers",
]

_HOMES = {"WebsocketBinding": "websockets", "WebsocketBindingWithMembers": "members"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    value = getattr(import_module(f"fairway.binding.{_HOMES.get(name, 'base')}"), name)
    globals()[name] = value
    return value
