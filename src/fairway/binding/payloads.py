"""What a client has sent, before anything is done with it: JSON of the expected shape that can be stored.

A database refuses some texts that JSON allows, and stores some numbers that no browser reads back. They are refused
here, wherever they stand.
"""

import json
import math
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.translation import gettext_lazy as _

INVALID = _("Enter a valid value.")
NO_OBJECT = 'Send {"action": "create", "update" or "delete", "pk": ..., "data": {...}} as JSON.'


class WrongPayload(ValidationError, ValueError):
    """A payload of the wrong shape."""


def read_payload(text: object) -> dict[str, Any]:
    """Return the JSON object in a frame.

    Raises:
        ValidationError: it is none, or has a number or a text in it that cannot be stored.
    """
    if not isinstance(text, str):
        raise WrongPayload(NO_OBJECT)
    try:
        payload = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise WrongPayload(NO_OBJECT) from None
    if not isinstance(payload, dict):
        raise WrongPayload(NO_OBJECT)
    _check_texts(payload)
    return payload


def clean_key(model: type[Model], value: Any) -> Any:
    """Return a primary key as a value of the model's key field.

    Raises:
        ValidationError: it cannot be one.
    """
    if value is None:
        raise WrongPayload({"pk": ["Name the object that is meant."]})
    try:
        return clean_reference(model._meta.pk, value)  # noqa: SLF001
    except ValidationError as error:
        raise WrongPayload({"pk": error.messages}) from None


def clean_reference(field: Any, value: Any) -> Any:
    """Return a value that tells an object apart, as `field` of that object holds it.

    Raises:
        ValidationError: it cannot be one.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValidationError(INVALID)
    while field.remote_field:  # the key is that of another object
        field = field.target_field
    return validated(field, convert(field, value))


def convert(field: Any, value: Any) -> Any:
    """Return a value as a field holds it.

    Raises:
        ValidationError: the field has no such values, whatever the field itself would raise.
    """
    try:
        return field.to_python(value)
    except ValidationError:
        raise
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, RecursionError):
        raise ValidationError(INVALID) from None


def validated(field: Any, value: Any) -> Any:
    """Return a value that the field's validators let through; they know how large a number may be.

    Raises:
        ValidationError: they do not.
    """
    field.run_validators(value)
    return value


def echo(value: Any) -> str | int | None:
    """Return what a client has sent as it may be sent back."""
    return value[:100] if isinstance(value, str) else value if isinstance(value, int) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _check_texts(payload: dict[str, Any]) -> None:
    """Refuse what no text column takes: NUL, and halves of surrogate pairs."""
    waiting: list[Any] = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and ("\0" in value or not _is_text(value)):
            raise WrongPayload(_("Null characters are not allowed.") if "\0" in value else INVALID)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
