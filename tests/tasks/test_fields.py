"""JSON in a column of text."""

import math

import pytest
from django.core import serializers
from django.utils import timezone

from fairway.tasks.models import TaskRecord

VALUES = [None, 0, 1.5, -0.0, "text", "€ 😀", "a\0b", "\ud800", [], {}, [None, {"a": [True]}], "null", "{}", 10**40]


@pytest.mark.parametrize("value", VALUES)
def test_each_value_comes_back(database, value):
    record = TaskRecord.objects.create(args=[value], return_value=value, enqueued_at=timezone.now())
    record.refresh_from_db()
    assert record.args == [value]
    assert record.return_value == value
    assert type(record.return_value) is type(value)


def test_what_is_no_number_comes_back(database):
    record = TaskRecord.objects.create(return_value=math.nan, enqueued_at=timezone.now())
    record.refresh_from_db()
    assert math.isnan(record.return_value)


@pytest.mark.parametrize("value", ["text", [1, "a\0b"], {"a": None}, None])
def test_serializers_carry_it(value):
    record = TaskRecord(args=[value], return_value=value, enqueued_at=timezone.now())
    (found,) = serializers.deserialize("json", serializers.serialize("json", [record]))
    assert found.object.args == [value]
    assert found.object.return_value == value
