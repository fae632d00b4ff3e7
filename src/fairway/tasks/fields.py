"""A column of JSON that keeps what the Tasks framework allows, on every database alike."""

import json
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    Text = models.TextField[Any, Any]
else:
    Text = models.TextField


class JsonText(Text):
    """JSON in a text column.

    Django's `JSONField` is not taken: the type that PostgreSQL has for it refuses NUL characters, halves of surrogate
    pairs and NaN, so a task would run on SQLite that cannot be enqueued on PostgreSQL, and a traceback with such a
    character in it could not be kept. Here everything is escaped to ASCII.
    """

    if TYPE_CHECKING:
        # What the plugin of mypy reads.
        _pyi_private_get_type: Any
        _pyi_private_set_type: Any

    def from_db_value(self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper) -> Any:
        """Return what was kept."""
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        """Return the value itself; a text is the JSON that a serializer wrote."""
        return json.loads(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        """Return the JSON; None stays NULL."""
        return None if value is None else json.dumps(value)

    def value_to_string(self, obj: models.Model) -> str:
        """Return the JSON, for a serializer."""
        return json.dumps(self.value_from_object(obj))
