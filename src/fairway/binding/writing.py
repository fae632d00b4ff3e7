"""An object made or changed from what a client has sent: only the fields it may set, each as its field holds it.

An update saves just what was given, so that what others change meanwhile in other fields is not undone.
"""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DatabaseError, DataError, IntegrityError, models, router, transaction
from django.db.models import AutoField, Model
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fairway.binding.payloads import INVALID, clean_reference, convert

MOST_RELATED = 10_000
"""Objects that one many-to-many value may name: more than that comes from no form."""


def save_new(
    model: type[Model], data: dict[str, Any], writable: dict[str, Any], complete: Callable[[Model], None]
) -> None:
    """Save a new object.

    Parameters:
        model: of what.
        data: values by field name; those that are not in `writable` are ignored.
        writable: the fields that may be set.
        complete: sets what `data` may not, before the object is validated.

    Raises:
        ValidationError: it cannot be stored.
    """
    using = router.db_for_write(model)
    instance = model()
    related = _set_values(instance, data, writable, using)
    complete(instance)
    # What is not bound was not checked by anybody: only a key that the database does not make itself is looked at.
    checked = {*writable, *([] if _is_made(model._meta.pk) else [model._meta.pk.name])}  # noqa: SLF001
    _validate(instance, checked)
    _store(instance, checked, related, using, update_fields=None)


def save_update(model: type[Model], pk: Any, data: dict[str, Any], writable: dict[str, Any]) -> None:
    """Change an object and save what was changed.

    Parameters: as for `save_new`; `pk` tells the object.

    Raises:
        DoesNotExist: there is no such object.
        ValidationError: a value cannot be stored.
    """
    using = router.db_for_write(model)
    given = {name for name in data if name in writable}
    rows = model._default_manager.using(using)  # noqa: SLF001
    instance = rows.get(pk=pk)
    if not given:
        return
    related = _set_values(instance, data, writable, using)
    _validate(instance, given)
    names = given - {field.name for field in related}
    stamps = {f.name for f in model._meta.concrete_fields if getattr(f, "auto_now", False)}  # noqa: SLF001
    try:
        _store(instance, given, related, using, update_fields=names | stamps if names else names)
    except DatabaseError:
        if not rows.filter(pk=pk).exists():
            raise model.DoesNotExist from None  # type: ignore[attr-defined]
        raise


def _set_values(instance: Model, data: dict[str, Any], writable: dict[str, Any], using: str) -> dict[Any, list[Any]]:
    """Set the values that may be set; return those of many-to-many fields, which have to wait for the row."""
    errors: dict[str, list[str]] = {}
    related = {}
    for name, value in data.items():
        field = writable.get(name)
        if field is None:
            continue
        try:
            if field.many_to_many:
                related[field] = _related(field, value, using)
            else:
                setattr(instance, field.attname, _value(field, value))
        except ValidationError as error:
            errors[name] = error.messages
    if errors:
        raise ValidationError(errors)
    return related


def _value(field: Any, value: Any) -> Any:
    if value is None:
        if not field.null:
            raise ValidationError(field.error_messages["null"])
        return None
    if field.remote_field:
        return clean_reference(field, value)
    if isinstance(field, models.CharField | models.TextField) and isinstance(value, bool | list | dict):
        raise ValidationError(INVALID)  # Django would store what Python writes for it
    converted = convert(field, value)
    if isinstance(converted, float) and not math.isfinite(converted):  # "nan" and "1e999" are floats to Python
        raise ValidationError(INVALID)
    return _moment(converted) if isinstance(converted, datetime) else converted


def _moment(value: datetime) -> datetime:
    try:
        if settings.USE_TZ and timezone.is_naive(value):
            value = timezone.make_aware(value)
        if timezone.is_aware(value):
            value.astimezone(UTC)  # as the database is going to have it
    except (OverflowError, ValueError):
        raise ValidationError(INVALID) from None
    return value


def _related(field: Any, value: Any, using: str) -> list[Any]:
    """Return the keys in a many-to-many value, each of an object that is there and may be chosen."""
    if not isinstance(value, list) or len(value) > MOST_RELATED:
        raise ValidationError(INVALID)
    target = field.related_model
    keys = {clean_reference(target._meta.pk, key) for key in value}  # noqa: SLF001
    rows = target._base_manager.using(using).filter(pk__in=keys).complex_filter(field.get_limit_choices_to())  # noqa: SLF001
    found = set(rows.values_list("pk", flat=True))
    if keys - found:
        missing = ", ".join(sorted(str(key) for key in keys - found))
        raise ValidationError(_("There is no such object.") + f" ({missing:.100})")
    if not keys and not field.blank:
        raise ValidationError(field.error_messages["blank"])
    return list(keys)


def _is_made(pk: Any) -> bool:
    """Say whether a key comes from the database, or from the parent's row."""
    return isinstance(pk, AutoField) or bool(pk.remote_field and pk.remote_field.parent_link)


def _validate(instance: Model, names: Iterable[str]) -> None:
    options = instance._meta  # noqa: SLF001
    every = {field.name for field in (*options.concrete_fields, *options.many_to_many)}
    instance.full_clean(exclude=every - set(names))


def _store(
    instance: Model,
    checked: set[str],
    related: dict[Any, list[Any]],
    using: str,
    *,
    update_fields: set[str] | None,
) -> None:
    """Save, all or nothing. What the database refuses is an error of the client's where validation can say so."""
    try:
        with transaction.atomic(using=using):
            if update_fields is None or update_fields:
                instance.save(using=using, update_fields=update_fields)
            for field, keys in related.items():
                getattr(instance, field.name).set(keys)
    except IntegrityError:
        # Somebody else was faster, or a constraint spans fields that the client did not send.
        _validate(instance, checked)
        instance.validate_unique()
        instance.validate_constraints()
        raise
    except DataError:
        raise ValidationError({NON_FIELD_ERRORS: [INVALID]}) from None
