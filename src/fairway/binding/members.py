"""A binding that also sends what is no field: attributes and results of methods, also of related objects."""

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model

from fairway.binding.websockets import WebsocketBinding


class WebsocketBindingWithMembers(WebsocketBinding):
    """Adds members of the object to the data: `send_members = ["get_absolute_url", "author.username"]`."""

    model: ClassVar[type[Model] | str | None] = None

    send_members: ClassVar[Iterable[str]] = []
    """Paths of attributes. What is callable is called. In the data, dots are written as two underscores."""

    encoder: ClassVar[json.JSONEncoder] = DjangoJSONEncoder()
    """Makes JSON of the values."""

    def serialize_data(self, instance: Model) -> dict[str, Any]:
        """Return the values of the bound fields and of the members, as JSON has them."""
        data = super().serialize_data(instance)
        members = {path.replace(".", "__"): _member(instance, path) for path in self.send_members}
        return {**data, **json.loads(self.encoder.encode(members))}


def _member(instance: Any, path: str) -> Any:
    """Return what a path leads to; None where it ends in None before its end."""
    value = instance
    for name in path.split("."):
        if value is None:
            return None
        value = getattr(value, name)
    return value() if callable(value) else value
