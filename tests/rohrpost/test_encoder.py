"""JSON of what handlers have at hand."""

import datetime as dt
import json
from collections import OrderedDict, UserDict, UserList
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID

import pytest

from fairway.rohrpost.encoder import TolerantJSONEncoder

ID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ID, f'"{ID}"'),
        (Decimal(3), "3"),
        (Decimal("3.00"), "3"),
        (Decimal(3.2), "3.2"),  # noqa: RUF032  as the contract has it
        (Decimal("-0.5"), "-0.5"),
        (Decimal("1E+2"), "100"),
        (Decimal("1E-999999"), "0.0"),
        (UserDict(), "{}"),
        (OrderedDict(a=1), '{"a": 1}'),
        (MappingProxyType({"a": ID}), f'{{"a": "{ID}"}}'),
        ({1}, "[1]"),
        (frozenset({1}), "[1]"),
        (UserList([1, UserList([2])]), "[1, [2]]"),
        ({"a": 1}.keys(), '["a"]'),
        ({"a": 1}.values(), "[1]"),
        (range(3), "[0, 1, 2]"),
        (b"ab", "[97, 98]"),
        ((1, None, True, "ä"), '[1, null, true, "\\u00e4"]'),
    ],
)
def test_what_is_encoded(value, text):
    assert json.dumps(value, cls=TolerantJSONEncoder) == text
    assert TolerantJSONEncoder().encode(value) == text


@pytest.mark.parametrize(
    "value", [dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.time(1), object(), 1j, iter([])]
)
def test_what_nothing_stands_for_is_a_type_error(value):
    with pytest.raises(TypeError, match="is not JSON serializable"):
        TolerantJSONEncoder().encode({"a": value})


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999999"), Decimal("1E+4300")])
def test_decimals_that_are_no_json_are_refused_and_cost_nothing(value):
    with pytest.raises(ValueError, match="is no number that JSON knows"):
        TolerantJSONEncoder().encode([value])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_floats_that_no_browser_reads_are_refused_whatever_the_options(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        json.dumps({"a": value}, cls=TolerantJSONEncoder, allow_nan=True)


def test_a_subclass_may_know_more():
    class Encoder(TolerantJSONEncoder):
        def default(self, o):
            return o.isoformat() if isinstance(o, dt.date) else super().default(o)

    value = {"on": dt.date(2026, 1, 1), "at": {Decimal(1)}}
    assert json.dumps(value, cls=Encoder, indent=None) == '{"on": "2026-01-01", "at": [1]}'
