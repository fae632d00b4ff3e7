"""JSON of what handlers have at hand: UUIDs, decimals, any mapping and any collection."""

import json
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

MOST_DIGITS = 4300
"""Digits of an integer that Python writes and reads. A decimal of a few characters may stand for a billion of them."""


class TolerantJSONEncoder(json.JSONEncoder):
    """Encodes a `UUID` as text, a `Decimal` as a number, a `Mapping` as an object and a `Collection` as an array.

    Dates are not among them: which text stands for one is an application's business. What no browser can read back,
    `NaN` and `Infinity`, is refused.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_nan": False})

    def default(self, o: Any) -> Any:
        """Return what is encoded in place of `o`.

        Raises:
            TypeError: nothing stands for it.
            ValueError: a decimal that is no finite number, or far too large.
        """
        if isinstance(o, UUID):
            return str(o)
        if isinstance(o, Decimal):
            return _number(o)
        if isinstance(o, Mapping):
            return dict(o)
        if isinstance(o, Collection):
            return list(o)
        return super().default(o)


def _number(value: Decimal) -> int | float:
    if not value.is_finite() or value.adjusted() >= MOST_DIGITS:
        msg = f"{value} is no number that JSON knows"
        raise ValueError(msg)
    return int(value) if value == value.to_integral_value() else float(value)
