"""Values of every kind from clients, into fields of every kind."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, OperationalError, connection

from fairway.binding.fields import bound_fields
from fairway.binding.writing import MOST_RELATED, save_new, save_update
from tests.support.bound.models import Everything, Tag

pytestmark = pytest.mark.django_db

FIELDS = bound_fields(Everything, ("__all__",), None)


def complete(instance):
    """Nothing to add."""


def create(**data):
    save_new(Everything, data, FIELDS.writable, complete)
    return Everything.objects.get()


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("text", "x", "x"),
        ("text", 5, "5"),
        ("number", "5", 5),
        ("number", 5.0, 5),
        ("number", None, None),
        ("big", 2**63 - 1, 2**63 - 1),
        ("ratio", 1, 1.0),
        ("price", "9.99", Decimal("9.99")),
        ("price", 9.5, Decimal("9.5")),
        ("flag", True, True),
        ("day", "2026-01-31", dt.date(2026, 1, 31)),
        ("moment", "2026-01-31T10:00:00Z", dt.datetime(2026, 1, 31, 10, tzinfo=dt.UTC)),
        ("clock", "10:30", dt.time(10, 30)),
        ("span", "P1D", dt.timedelta(days=1)),
        ("reference", str(uuid.UUID(int=5)), uuid.UUID(int=5)),
        ("extra", {"a": [1, None, "x"]}, {"a": [1, None, "x"]}),
        ("extra", [], []),
        ("address", "::1", "::1"),
        ("choice", "a", "a"),
    ],
)
def test_values_as_their_fields_hold_them(name, value, stored):
    assert getattr(create(**{name: value}), name) == stored


def test_a_moment_without_a_zone_is_one_of_the_current_zone():
    moment = create(moment="2026-01-31T10:00:00").moment
    assert moment.tzinfo is not None


def test_a_moment_without_time_zones(settings):
    settings.USE_TZ = False
    assert create(moment="2026-01-31T10:00:00").moment == dt.datetime(2026, 1, 31, 10)  # noqa: DTZ001


NAMES = ["number", "big", "ratio", "price", "flag", "day", "moment", "clock", "reference", "tag"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["x", "", [], [1], {}, {"a": 1}, 10**400, -(10**400), "9" * 400])
def test_values_that_a_field_has_not(name, value):
    with pytest.raises(ValidationError) as refused:
        create(**{name: value})
    assert list(refused.value.message_dict) == [name]
    assert not Everything.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", None),
        ("text", ["x"]),
        ("text", {}),
        ("text", True),
        ("choice", "c"),
        ("choice", "abcd"),
        ("flag", None),
        ("flag", 5),
        ("number", 2**63),
        ("price", 100000),
        ("price", "NaN"),
        ("ratio", "nan"),
        ("ratio", "-Infinity"),
        ("span", [1]),
        ("span", 5),
        ("address", "localhost"),
        ("address", ["::1"]),
        ("moment", "0001-01-01T00:00:00+14:00"),
        ("moment", "9999-12-31T23:59:59-14:00"),
        ("span", "P999999999999999D"),
        ("day", "2026-02-31"),
        ("reference", 2**200),
        ("tag", 5),
        ("tag", 10**30),
        ("tag", True),
        ("tag", 1.5),
        ("tags", None),
        ("tags", 5),
        ("tags", [5]),
        ("tags", [None]),
        ("tags", [[1]]),
        ("tags", ["x"]),
        ("tags", [10**30]),
        ("tags", list(range(MOST_RELATED + 1))),
    ],
)
def test_more_values_that_a_field_has_not(name, value):
    with pytest.raises(ValidationError) as refused:
        create(**{name: value})
    assert list(refused.value.message_dict) == [name]


def test_every_wrong_value_is_named():
    with pytest.raises(ValidationError) as refused:
        create(number="x", day="y", text="fine")
    assert set(refused.value.message_dict) == {"number", "day"}


@pytest.mark.parametrize("name", ["id", "secret", "changed", "upload", "pk"])
def test_what_is_not_a_client_s_to_set(name):
    row = create(**{name: "5"})
    assert (row.secret, bool(row.upload)) == ("kept", False)


def test_references():
    tags = [Tag.objects.create(name=name) for name in ("t1", "t2", "other")]
    row = create(tag=tags[0].pk, tags=[tags[0].pk, str(tags[1].pk)])
    assert row.tag == tags[0]
    assert set(row.tags.all()) == set(tags[:2])
    for data in ({"tag": tags[2].pk}, {"tags": [tags[2].pk]}):  # not one of the choices
        with pytest.raises(ValidationError):
            save_update(Everything, row.pk, data, FIELDS.writable)
    save_update(Everything, row.pk, {"tag": None, "tags": []}, FIELDS.writable)
    row.refresh_from_db()
    assert row.tag is None
    assert not row.tags.exists()


def test_an_update_of_many_to_many_values_alone_saves_nothing_else():
    tag = Tag.objects.create(name="t")
    row = create()
    save_update(Everything, row.pk, {"tags": [tag.pk]}, FIELDS.writable)
    assert list(row.tags.all()) == [tag]
    before = row.changed
    row.refresh_from_db()
    assert row.changed == before


def test_many_to_many_values_that_may_not_be_empty(monkeypatch):
    monkeypatch.setattr(Everything._meta.get_field("tags"), "blank", False)
    with pytest.raises(ValidationError) as refused:
        create(tags=[])
    assert refused.value.message_dict == {"tags": ["This field cannot be blank."]}


def test_an_update_saves_what_was_given_and_the_time():
    row = create(text="x", number=1)
    before = row.changed
    Everything.objects.update(number=2)
    save_update(Everything, row.pk, {"text": "y"}, FIELDS.writable)
    row.refresh_from_db()
    assert (row.text, row.number) == ("y", 2)
    assert row.changed > before


def test_only_given_fields_are_validated_in_an_update():
    row = create()
    Everything.objects.update(choice="zzz")
    save_update(Everything, row.pk, {"text": "y"}, FIELDS.writable)
    assert Everything.objects.get().text == "y"


def test_what_the_model_says_itself():
    with pytest.raises(ValidationError, match="not this text"):
        create(text="never")


def test_a_constraint_over_fields_that_were_not_sent():
    create(number=1, big=1)
    row = Everything.objects.create(number=2, big=1)
    with pytest.raises(ValidationError, match="Number and Big already exists"):
        save_update(Everything, row.pk, {"number": 1}, FIELDS.writable)
    row.refresh_from_db()
    assert row.number == 2


def test_what_is_unique_and_somebody_else_was_faster():
    taken = (
        "INSERT INTO bound_everything (text, flag, choice, upload, secret, changed, number, big) "
        "VALUES ('', 0, '', '', '', '2026-01-01', 1, 1)"
    )

    def take_meanwhile(execute, sql, params, many, context):
        if sql.startswith("INSERT"):
            execute(taken, (), False, context)
        result = execute(sql, params, many, context)
        if sql.startswith("ROLLBACK TO"):  # it was another's transaction, and stays
            execute(taken, (), False, context)
        return result

    with connection.execute_wrapper(take_meanwhile), pytest.raises(ValidationError, match="already exists"):
        create(number=1, big=1)


def test_what_only_the_database_refuses_is_an_error_of_the_application():
    def forget(instance):
        instance.secret = None

    with pytest.raises(IntegrityError):
        save_new(Everything, {}, FIELDS.writable, forget)


def test_a_value_that_only_the_database_finds_wrong():
    def refuse(execute, sql, params, many, context):
        if sql.startswith("INSERT"):
            raise DataError("out of range")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse), pytest.raises(ValidationError, match="Enter a valid value"):
        create()


def test_a_row_that_goes_while_it_is_changed():
    row = create()

    def delete_meanwhile(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            sql += " AND 1 = 0"
        result = execute(sql, params, many, context)
        if sql.startswith("ROLLBACK TO"):
            execute("DELETE FROM bound_everything", (), False, context)
        return result

    with connection.execute_wrapper(delete_meanwhile), pytest.raises(Everything.DoesNotExist):
        save_update(Everything, row.pk, {"text": "y"}, FIELDS.writable)


def test_what_a_database_cannot_do_is_an_error_of_the_application():
    row = create()

    def refuse(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            raise OperationalError("disk full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        save_update(Everything, row.pk, {"text": "y"}, FIELDS.writable)
