"""Which fields are bound, and their values."""

import datetime as dt
import json
import uuid
from decimal import Decimal

import pytest
from django.core import serializers

from fairway.binding.fields import bound_fields, declared, field_values
from tests.support.bound.models import Everything, IntegerValue, PinnedPost, Post, Tag


def names(model, fields=None, exclude=None):
    return bound_fields(model, declared(fields), declared(exclude)).names


def test_fields_and_exclude():
    assert names(IntegerValue, "__all__") == names(IntegerValue, ["__all__"]) == {"id", "name", "value"}
    assert names(IntegerValue, ["name"]) == names(IntegerValue, ("name", "pk")) == {"name"}
    assert names(IntegerValue, exclude=["value"]) == {"id", "name"}
    assert names(IntegerValue, "__all__", ["value"]) == {"id", "name"}
    assert names(IntegerValue, []) == set()
    assert names(IntegerValue, exclude=[]) == {"id", "name", "value"}


@pytest.mark.parametrize(("fields", "exclude"), [(["nmae"], None), (None, ["nmae"]), ("nmae", None)])
def test_a_name_that_is_no_field_is_an_error(fields, exclude):
    with pytest.raises(ValueError, match=r"bound\.IntegerValue has no field nmae; it has id, name, value"):
        names(IntegerValue, fields, exclude)


def test_what_clients_may_set():
    writable = set(bound_fields(Everything, ("__all__",), None).writable)
    assert names(Everything, "__all__") - writable == {"id", "upload", "secret", "changed"}
    assert set(bound_fields(Post, ("__all__",), None).writable) == {"title", "admin_only", "room", "tags"}


def test_values_are_those_of_django_s_serializer(db):
    tag = Tag.objects.create(name="t")
    row = Everything.objects.create(
        text="ä",
        number=1,
        ratio=0.5,
        price=Decimal("1.50"),
        day=dt.date(2026, 1, 2),
        moment=dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
        clock=dt.time(1, 2),
        span=dt.timedelta(days=1),
        reference=uuid.UUID(int=7),
        extra={"a": [1]},
        upload="x.txt",
        tag=tag,
    )
    row.tags.add(tag)
    row.refresh_from_db()
    expected = json.loads(serializers.serialize("json", [row]))[0]["fields"]
    assert field_values(row, bound_fields(Everything, ("__all__",), None)) == expected
    assert expected["tags"] == [tag.pk]


def test_inherited_fields_are_in(db):
    pinned = PinnedPost.objects.create(title="one", pin="!")
    assert field_values(pinned, bound_fields(PinnedPost, ("title", "pin", "tags"), None)) == {
        "title": "one",
        "pin": "!",
        "tags": [],
    }


def test_numbers_that_no_browser_reads_are_null():
    row = Everything(ratio=float("nan"), extra={"deep": [float("inf")]})
    assert field_values(row, bound_fields(Everything, ("ratio", "extra"), None)) == {
        "ratio": None,
        "extra": {"deep": [None]},
    }
