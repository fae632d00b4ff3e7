"""Mixins that tell a group of clients when a model is created, changed or deleted.

They stand before the model's base class. What is told is put together at once, as the object is then, and leaves when
the transaction is committed; of one that is rolled back nobody hears.
"""

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, transaction

from fairway.names import check_group
from fairway.rohrpost.encoder import TolerantJSONEncoder
from fairway.rohrpost.message import build_message, send_to_group

if TYPE_CHECKING:
    from django.db.models import Model as _Base
else:
    _Base = object

on_transaction_commit = partial(transaction.on_commit, robust=True)
"""What a message waits by; looked up at each use, so that it may be replaced.

By then the object is stored. So a layer that is away is logged, as with data binding, and whoever saves does not fail.
"""


class NotifyBase(_Base):
    """What the mixins share: whom to tell, and what.

    =========================  ========================================================================
    `get_group_name`           method: `get_group_name(message_type=...)` names the group
    `group_name`               or a text, in which `{pk}` is replaced; else `article-5` for an `Article`
    `get_push_notification_data`  method: `(updated_fields=..., message_type=...)` gives the object's data
    `serializer_class`         or a serializer, whose `data` is taken; else `{"id": pk}`
    =========================  ========================================================================
    """

    encoder = TolerantJSONEncoder

    def _get_group_name(self, message_type: str = "") -> str:
        name: str
        if hasattr(self, "get_group_name"):
            name = self.get_group_name(message_type=message_type)
        elif hasattr(self, "group_name"):
            name = self.group_name.format(pk=self.pk)
        else:
            name = f"{type(self).__name__.lower()}-{self.pk}"
        return name

    def _get_push_data(self, updated_fields: Any = None, message_type: str | None = None) -> Any:
        if hasattr(self, "get_push_notification_data"):
            data = self.get_push_notification_data(updated_fields=updated_fields, message_type=message_type)
        elif hasattr(self, "serializer_class"):
            data = self.serializer_class(self).data
        else:
            data = {"id": self.pk}
        return data

    def _get_message_type(self, message_type: str) -> str:
        return message_type

    def _send_notify(
        self,
        message_type: str,
        updated_fields: Any = None,
        data: Any = None,
        always_send: bool = True,  # noqa: FBT001, FBT002  the name that subclasses know
    ) -> None:
        if data is None:
            data = self._get_push_data(updated_fields=updated_fields, message_type=message_type)
        if always_send or not updated_fields or any(field in _keys(data) for field in updated_fields):
            _tell_on_commit(self._prepared(message_type, data, updated_fields), _database_of(self))

    def _prepared(self, message_type: str, data: Any, updated_fields: Any = None) -> tuple[str, str]:
        """Return the group and what it is told, as JSON.

        What is wrong with either is raised here, where the transaction may still be rolled back.
        """
        group = check_group(self._get_group_name(message_type=message_type))
        if updated_fields and isinstance(data, Mapping) and "updated_fields" not in data:
            data = {**data, "updated_fields": list(updated_fields)}
        news = {"type": self._get_message_type(message_type), "group": group, "object": data}
        message = build_message(handler="subscription-update", generate_id=True, data=news)
        return group, self.encoder().encode(message)


class _NotifyOnSave(NotifyBase):
    """Where a save is told, once, whichever of the mixins are there."""

    _tells_create = False
    _tells_update = False

    rohrpost_always_send = True
    """Tell of an update with `update_fields` even where the data has none of these fields."""

    def save(self, *args: Any, **kwargs: Any) -> Any:
        """Save, and tell."""
        is_new = _is_new(self)
        result = super().save(*args, **kwargs)
        if is_new and self._tells_create:
            self._send_notify("create", updated_fields=kwargs.get("update_fields"))
        elif not is_new and self._tells_update:
            fields = kwargs.get("update_fields")
            self._send_notify("update", updated_fields=fields, always_send=self.rohrpost_always_send)
        return result


class NotifyOnCreate(_NotifyOnSave):
    """Tells when an object is saved for the first time."""

    _tells_create = True


class NotifyOnUpdate(_NotifyOnSave):
    """Tells when an object that was there is saved."""

    _tells_update = True


class NotifyOnDelete(NotifyBase):
    """Tells when an object is deleted, with the data it had before."""

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        """Delete, and tell."""
        told = self._prepared("delete", self._get_push_data(message_type="delete"))
        database = kwargs.get("using") or _database_of(self)
        result = super().delete(*args, **kwargs)
        _tell_on_commit(told, database)
        return result


class NotifyOnChange(NotifyOnCreate, NotifyOnUpdate, NotifyOnDelete):
    """Tells of all three."""


def _tell_on_commit(told: tuple[str, str], database: str | None) -> None:
    def tell() -> None:  # a partial has no name, which Django 5.2 wants to log
        group, text = told
        send_to_group(group_name=group, message=text)

    if database in (None, DEFAULT_DB_ALIAS):
        on_transaction_commit(tell)
    else:
        on_transaction_commit(tell, using=database)


def _keys(data: Any) -> Collection[Any]:
    return data.keys() if isinstance(data, Mapping) else ()


def _is_new(instance: Any) -> bool:
    """Say whether a save creates the object. What was deleted has a state of old, and no key any more."""
    state = getattr(instance, "_state", None)
    return not instance.pk if state is None else bool(state.adding) or instance.pk is None


def _database_of(instance: Any) -> str | None:
    return getattr(getattr(instance, "_state", None), "db", None)
