"""Which fields of a model a binding is bound to, and their values as JSON holds them.

What Django's JSON serializer leaves out is left out here: primary keys, which travel beside the data, and
many-to-many fields with a through model of their own. Fields that a model inherits from a parent with a table are in,
which Django's serializer keeps for the parent's own record.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.core.serializers.python import Serializer
from django.db.models import FileField, Model

ALL_FIELDS = "__all__"

_encode = DjangoJSONEncoder().encode
_decode = json.JSONDecoder(parse_constant=lambda _name: None).decode  # no browser reads NaN and Infinity


@dataclass(frozen=True, slots=True)
class BoundFields:
    """The fields of one model that a binding is bound to."""

    names: frozenset[str]
    """All of them, also those that are not sent."""

    columns: tuple[Any, ...]
    """Those whose values are sent."""

    relations: tuple[Any, ...]
    """Those many-to-many fields whose values are sent."""

    writable: dict[str, Any]
    """Those that a client may set, by name."""


def declared(names: Iterable[str] | str | None) -> tuple[str, ...] | None:
    """Return what a binding has in `fields` or `exclude` as a tuple; None when it has nothing there."""
    if names is None:
        return None
    return (names,) if isinstance(names, str) else tuple(names)


@lru_cache(maxsize=1024)
def bound_fields(model: type[Model], fields: tuple[str, ...] | None, exclude: tuple[str, ...] | None) -> BoundFields:
    """Return the fields of a model that are bound by `fields` and `exclude`.

    Raises:
        ValueError: one of the names is not a field of the model.
    """
    options = model._meta  # noqa: SLF001  Django's public name for it
    known: dict[str, Any] = {field.name: field for field in (*options.concrete_fields, *options.many_to_many)}
    wanted = set(known) if fields is None or fields == (ALL_FIELDS,) else set(fields)
    unwanted = set(exclude or ())
    unknown = (wanted | unwanted) - {*known, "pk"}
    if unknown:
        msg = f"{options.label} has no field {', '.join(sorted(unknown))}; it has {', '.join(known)}"
        raise ValueError(msg)
    bound = [field for name, field in known.items() if name in wanted - unwanted]
    sent = [field for field in bound if field.serialize and not getattr(field, "primary_key", False)]
    return BoundFields(
        frozenset(field.name for field in bound),
        tuple(field for field in sent if not field.many_to_many),
        tuple(field for field in sent if field.many_to_many and _is_plain_relation(field)),
        {field.name: field for field in sent if _is_writable(field)},
    )


def field_values(instance: Model, bound: BoundFields) -> dict[str, Any]:
    """Return the values of the bound fields of an instance, by name, as they are after a journey through JSON."""
    return plain(_Values().of(instance, bound))


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they are after a journey through JSON: dates, UUIDs and decimals are text."""
    return _decode(_encode(values))  # type: ignore[no-any-return]


class _Values(Serializer):
    """Django's serializer, for chosen fields of one object."""

    use_natural_foreign_keys = False

    def of(self, instance: Model, bound: BoundFields) -> dict[str, Any]:
        self._current: dict[str, Any] = {}
        for field in bound.columns:
            handle = self.handle_fk_field if field.remote_field else self.handle_field
            handle(instance, field)
        for field in bound.relations:
            self.handle_m2m_field(instance, field)
        return self._current


def _is_plain_relation(field: Any) -> bool:
    return bool(field.remote_field.through._meta.auto_created)  # noqa: SLF001


def _is_writable(field: Any) -> bool:
    """Say whether a client may set a field: not what Django keeps from forms, and no file by its name."""
    if field.many_to_many:
        return bool(field.editable) and _is_plain_relation(field)
    return bool(field.editable) and not isinstance(field, FileField) and not getattr(field, "generated", False)
