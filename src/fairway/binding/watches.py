"""The models that bindings are bound to, and which rows of them a saved instance is about.

An instance of a bound model may be saved as something else: as a proxy of it, as a child with a table of its own, or
as the parent whose table it shares. All of these are looked at, so that a binding sees the row and not the class.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Manager, Model, QuerySet

if TYPE_CHECKING:
    from fairway.binding.base import Binding


class Watch:
    """A bound model and its bindings.

    Parameters:
        model: the model.
    """

    __slots__ = ("bindings", "concrete", "model")

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self.concrete = concrete(model)
        self.bindings: list[type[Binding]] = []

    def key_of(self, instance: Model) -> tuple[str, Any]:
        """Return by which field and value the row that an instance is about is found; the value may be None."""
        saved = concrete(type(instance))
        if saved is self.concrete:
            return "pk", instance.pk if instance._is_pk_set() else None  # type: ignore[attr-defined]  # noqa: SLF001
        if issubclass(self.concrete, saved):  # a parent of the bound model
            return saved._meta.pk.name, instance.pk  # noqa: SLF001
        value = getattr(instance, self.concrete._meta.pk.attname)  # noqa: SLF001
        if value is None:  # a child for a parent that is there: Django copies the link only while it saves
            link = saved._meta.get_ancestor_link(self.concrete)  # noqa: SLF001
            value = getattr(instance, link.attname) if link is not None else None
        return "pk", value

    def rows(self, using: str) -> QuerySet[Any]:
        """Return all stored rows."""
        return self.model._base_manager.using(using)  # noqa: SLF001

    def rows_with_relations(self, using: str) -> QuerySet[Any]:
        """Return all stored rows, which keep the many-to-many values that they have now."""
        names = {field.name for binding in self.bindings for field in binding.bound_to(self.model).relations}
        return self.rows(using).prefetch_related(*sorted(names))

    def locked(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Lock rows that are going to be changed a moment later.

        Without the lock two transactions could both see what only the first of them has changed. Outside a
        transaction there is nothing that could hold it.
        """
        connection = connections[rows.db]
        plain_manager = type(self.model._base_manager) is Manager  # noqa: SLF001  others may have what cannot be locked
        if plain_manager and connection.in_atomic_block and connection.features.has_select_for_update:
            return rows.select_for_update(no_key=connection.features.has_select_for_no_key_update)
        return rows


def find(rows: QuerySet[Any], key: tuple[str, Any]) -> Model | None:
    """Return the row that a field and its value tell, or None."""
    name, value = key
    if value is None:
        return None
    # Not first(), which orders and cuts what is one row at most.
    found: Model | None = next(iter(rows.filter(**{name: value})), None)
    return found


def concrete(model: type[Model]) -> type[Model]:
    """Return the model that has the table."""
    return model._meta.concrete_model or model  # noqa: SLF001


def is_related(saved: type[Model], bound: type[Model]) -> bool:
    """Say whether a save of one model may change a row of the other: the same table, a parent's or a child's."""
    one, other = concrete(saved), concrete(bound)
    return issubclass(one, other) or issubclass(other, one)


def is_as_stored(instance: Model, watch: Watch, update_fields: Sequence[str] | None) -> bool:
    """Say whether an instance that was just saved has what is stored, so that it need not be read again."""
    if update_fields is not None or not isinstance(instance, watch.model):
        return False
    if concrete(type(instance)) is not watch.concrete:
        return False
    values = instance.__dict__
    return not any(
        getattr(field, "generated", False)
        or field.attname not in values  # deferred
        or hasattr(values[field.attname], "resolve_expression")
        for field in watch.concrete._meta.concrete_fields  # noqa: SLF001
    )
