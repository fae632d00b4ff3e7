"""Models bound to clients: a saved object is sent to the groups that may see it, and clients may change it."""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

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

_HOMES = {
    "CREATE": "fairway.binding.changes",
    "DELETE": "fairway.binding.changes",
    "UPDATE": "fairway.binding.changes",
    "Binding": "fairway.binding.base",
    "BindingMetaclass": "fairway.binding.base",
    "WebsocketBinding": "fairway.binding.websockets",
    "WebsocketBindingWithMembers": "fairway.binding.members",
}

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
