"""News of models, on SQLite and on PostgreSQL, with real transactions."""

import json
import uuid
from contextlib import suppress

import pytest
from django.db import DatabaseError, connection, connections, models, transaction

from fairway.errors import InvalidName, LayerUnavailable
from fairway.rohrpost import mixins
from fairway.rohrpost.encoder import TolerantJSONEncoder
from fairway.rohrpost.mixins import NotifyOnChange, NotifyOnCreate, NotifyOnDelete, NotifyOnUpdate
from fairway.testing import WSClient
from tests.support.postgres import postgres
from tests.support.told.models import (
    ByTwo,
    Changed,
    Created,
    Dated,
    Deleted,
    NamedByAttribute,
    NamedByMethod,
    Serialized,
    Updated,
    WithData,
    WithList,
    WithOwnKey,
)

MODELS = (Created, Updated, Deleted, Changed, ByTwo, WithOwnKey, NamedByAttribute, NamedByMethod, WithData, WithList)
MODELS = (*MODELS, Serialized, Dated)


@pytest.fixture(scope="module")
def server():
    with postgres() as database:
        yield database


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request, transactional_db, django_db_blocker):
    """The default database, whose transactions end as they say."""
    if request.param == "SQLite":
        yield request.param
        return
    server = request.getfixturevalue("server")
    before = connections.settings["default"]
    with django_db_blocker.unblock():
        kept = connections["default"]
        connections.settings["default"] = {**before, "OPTIONS": {}, **server}
        del connections["default"]
        try:
            with connection.schema_editor() as editor:
                for model in MODELS:
                    editor.create_model(model)
            yield request.param
            with connection.cursor() as cursor:
                cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        finally:
            connection.close()
            connections.settings["default"] = before
            connections["default"] = kept


@pytest.fixture
def hear(monkeypatch, channel_layer):
    """Hear what groups are told: each message with the group that it went to, without its id."""
    member = WSClient()
    send = mixins.send_to_group

    def join_and_send(group_name, message):
        member.join_group(group_name)
        heard.append(group_name)
        send(group_name=group_name, message=message)

    heard = []
    monkeypatch.setattr(mixins, "send_to_group", join_and_send)

    def hear():
        frames = list(iter(member.receive, None))
        assert [frame["data"]["group"] for frame in frames] == heard
        heard.clear()
        for frame in frames:
            assert 1 <= frame["id"] <= 1000
            assert (sorted(frame), frame["type"]) == (["data", "id", "type"], "subscription-update")
        return [frame["data"] for frame in frames]

    return hear


def news(kind, group, **data):
    return {"type": kind, "group": group, "object": data}


# --- what is told of ---


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        (Created, ["create"]),
        (Updated, ["update"]),
        (Deleted, ["delete"]),
        (Changed, ["create", "update", "delete"]),
        (ByTwo, ["create", "update"]),
    ],
)
def test_each_mixin_tells_of_its_own_and_once(database, hear, model, kinds):
    thing = model.objects.create(title="one")
    pk, group = thing.pk, f"{model.__name__.lower()}-{thing.pk}"
    thing.save()
    assert thing.delete() == (1, {f"told.{model.__name__}": 1})
    assert hear() == [news(kind, group, id=pk) for kind in kinds]


def test_one_that_brings_its_key_is_created(database, hear):
    thing = WithOwnKey(pk=uuid.UUID(int=5))
    thing.save()
    thing.save()
    pk = str(thing.pk)
    assert hear() == [news(kind, f"withownkey-{pk}", id=pk) for kind in ("create", "update")]


def test_a_copy_is_created(database, hear):
    thing = Changed.objects.create()
    hear()
    thing.pk = None
    thing.save()
    assert [told["type"] for told in hear()] == ["create"]


def test_what_was_deleted_is_created_when_it_is_saved_again(database, hear):
    thing = Changed.objects.create()
    thing.delete()
    hear()
    thing.save()
    assert hear() == [news("create", f"changed-{thing.pk}", id=thing.pk)]


def test_one_that_was_read_is_updated(database, hear):
    Changed.objects.create()
    hear()
    Changed.objects.get().save()
    assert [told["type"] for told in hear()] == ["update"]


async def test_the_forms_for_coroutines_tell_too(transactional_db, hear):
    from asgiref.sync import sync_to_async

    thing = await Changed.objects.acreate()
    await thing.asave()
    await thing.adelete()
    assert [told["type"] for told in await sync_to_async(hear)()] == ["create", "update", "delete"]


# --- when ---


def test_it_is_told_when_the_transaction_is_committed(database, hear):
    with transaction.atomic():
        thing = Changed.objects.create(title="one")
        thing.save()
        pk = thing.pk
        thing.delete()
        assert hear() == []
    assert hear() == [news(kind, f"changed-{pk}", id=pk) for kind in ("create", "update", "delete")]


def test_what_is_rolled_back_is_not_told(database, hear):
    kept = Changed.objects.create()
    hear()
    with suppress(ZeroDivisionError), transaction.atomic():
        Changed.objects.create()
        kept.save()
        Changed.objects.get(pk=kept.pk).delete()
        raise ZeroDivisionError
    assert hear() == []
    assert Changed.objects.count() == 1


def test_what_a_savepoint_takes_back_is_not_told(database, hear):
    with transaction.atomic():
        first = Changed.objects.create()
        with suppress(ZeroDivisionError), transaction.atomic():
            Changed.objects.create()
            raise ZeroDivisionError
        last = Changed.objects.create()
    assert [told["object"]["id"] for told in hear()] == [first.pk, last.pk]


def test_a_layer_that_is_away_is_logged_and_whoever_saves_does_not_fail(database, hear, monkeypatch, caplog):
    def refuse(group_name, message):
        raise LayerUnavailable("gone")

    heard = []
    with monkeypatch.context() as patch:
        patch.setattr(mixins, "send_to_group", refuse)
        thing = Changed.objects.create()
        with transaction.atomic():
            thing.save()
            transaction.on_commit(lambda: heard.append("the next hook"))
    assert [str(record.exc_info[1]) for record in caplog.records] == ["gone", "gone"]
    assert (heard, Changed.objects.count()) == (["the next hook"], 1)


def test_it_is_told_as_it_was_when_it_was_saved(database, hear):
    with transaction.atomic():
        thing = WithData.objects.create(title="before")
        thing.title = "after"
    assert hear() == [news("create", f"withdata-{thing.pk}", title="before", why="create")]


def test_a_save_that_fails_is_not_told(database, hear):
    with pytest.raises(DatabaseError):
        Changed(pk=5).save(force_update=True)
    with pytest.raises(ValueError, match="can't be deleted"):
        Changed().delete()
    assert hear() == []


def test_another_database_has_its_own_commit(transactional_db, hear, monkeypatch):
    """The object says where it was saved, and that is where its message waits."""
    waits = []
    monkeypatch.setattr(mixins, "on_transaction_commit", lambda tell, **where: waits.append(where) or tell())
    thing = Changed.objects.create()
    thing._state.db = "other"
    thing._send_notify("update")
    assert waits == [{}, {"using": "other"}]
    thing.delete(using="default")
    assert waits[2:] == [{}]


# --- whom ---


def test_the_group_by_an_attribute(database, hear):
    thing = NamedByAttribute.objects.create()
    assert hear() == [news("create", f"things/{thing.pk}", id=thing.pk)]


def test_the_group_by_a_method_which_goes_first(database, hear):
    thing = NamedByMethod.objects.create(title="one")
    thing.title = "two"
    thing.save()
    thing.delete()
    assert [told["group"] for told in hear()] == ["create-of-one", "update-of-two", "delete-of-two"]


def test_a_group_that_cannot_be_is_an_error_where_it_is_saved(database, hear, monkeypatch):
    monkeypatch.setattr(NamedByMethod, "get_group_name", lambda self, message_type: "x" * 201)
    with pytest.raises(InvalidName), transaction.atomic():
        NamedByMethod.objects.create(title="x" * 20)
    assert NamedByMethod.objects.count() == 0


# --- what ---


def test_the_data_of_a_method(database, hear):
    thing = WithData.objects.create(title="one")
    assert hear() == [news("create", f"withdata-{thing.pk}", title="one", why="create")]


def test_the_data_of_a_serializer(database, hear):
    thing = Serialized.objects.create(title="one")
    assert hear() == [news("create", f"serialized-{thing.pk}", serialized="one")]


def test_data_that_is_no_json_is_an_error_where_it_is_saved(database, hear):
    with pytest.raises(TypeError, match="datetime is not JSON serializable"), transaction.atomic():
        Dated.objects.create()
    assert (hear(), Dated.objects.count()) == ([], 0)


def test_an_encoder_of_ones_own(transactional_db, hear, monkeypatch):
    class Encoder(TolerantJSONEncoder):
        def default(self, o):
            return "a moment"

    monkeypatch.setattr(Dated, "encoder", Encoder)
    Dated.objects.create()
    assert hear()[0]["object"] == {"moment": "a moment"}


@pytest.mark.parametrize("fields", [["title"], ("title",), {"title"}])
def test_the_fields_that_were_saved_are_told(database, hear, fields):
    thing = Changed.objects.create()
    hear()
    thing.save(update_fields=fields)
    assert hear() == [news("update", f"changed-{thing.pk}", id=thing.pk, updated_fields=["title"])]


@pytest.mark.parametrize("fields", [None, []])
def test_no_fields_are_not_told(database, hear, fields):
    thing = Changed.objects.create()
    hear()
    thing.save(update_fields=fields)
    assert hear() == [news("update", f"changed-{thing.pk}", id=thing.pk)]


def test_fields_that_the_data_has_itself_stay(transactional_db, hear, monkeypatch):
    data = {"updated_fields": ["mine"]}
    monkeypatch.setattr(Changed, "get_push_notification_data", lambda self, **_: data, raising=False)
    thing = Changed.objects.create()
    hear()
    thing.save(update_fields=["title"])
    assert hear()[0]["object"] == {"updated_fields": ["mine"]}


def test_data_of_the_application_is_not_changed(transactional_db, hear, monkeypatch):
    data = {"a": 1}
    monkeypatch.setattr(Changed, "get_push_notification_data", lambda self, **_: data, raising=False)
    thing = Changed.objects.create()
    thing.save(update_fields=["title"])
    assert hear()[1]["object"] == {"a": 1, "updated_fields": ["title"]}
    assert data == {"a": 1}


def test_data_that_is_no_dict_stays_as_it_is(database, hear):
    thing = WithList.objects.create(title="one")
    hear()
    thing.save(update_fields=["title"])
    assert hear()[0]["object"] == ["one"]


def test_an_update_of_other_fields_may_be_kept_quiet(database, hear):
    thing = WithData.objects.create(title="one")
    hear()
    thing.save(update_fields=["body"])
    assert hear() == []
    thing.save(update_fields=["body", "title"])
    thing.save()
    assert [told["object"].get("updated_fields") for told in hear()] == [["body", "title"], None]


def test_data_without_keys_is_kept_quiet_too(transactional_db, hear, monkeypatch):
    monkeypatch.setattr(WithList, "rohrpost_always_send", False)
    thing = WithList.objects.create()
    hear()
    thing.save(update_fields=["title"])
    assert hear() == []


# --- the seams that applications use ---


def test_both_senders_may_be_replaced(transactional_db, monkeypatch):
    waiting, sent = [], []
    monkeypatch.setattr(mixins, "on_transaction_commit", waiting.append)
    monkeypatch.setattr(mixins, "send_to_group", lambda **arguments: sent.append(arguments))
    Created.objects.create()
    assert sent == []
    waiting.pop()()
    ((arguments),) = sent
    assert sorted(arguments) == ["group_name", "message"]
    assert json.loads(arguments["message"])["data"]["group"] == arguments["group_name"]


def test_the_type_may_be_replaced(transactional_db, hear, monkeypatch):
    monkeypatch.setattr(Changed, "_get_message_type", lambda self, message_type: f"{message_type}d")
    Changed.objects.create().delete()
    assert [told["type"] for told in hear()] == ["created", "deleted"]


def test_a_model_may_tell_by_itself(transactional_db, hear):
    thing = Created.objects.create()
    hear()
    thing._send_notify("update", updated_fields=["a"], data={"b": 1})
    assert hear() == [news("update", f"created-{thing.pk}", b=1, updated_fields=["a"])]
    thing._send_notify("update", updated_fields=["a"], data={"b": 1}, always_send=False)
    assert hear() == []
    assert thing._get_group_name() == f"created-{thing.pk}"
    assert thing._get_push_data() == {"id": thing.pk}


class Base:
    """What a mixin needs of a model, and no more."""

    pk = None

    def save(self, *args, **kwargs):
        self.pk = self.pk or 7
        return "saved", args, kwargs

    def delete(self, *args, **kwargs):
        self.pk = None
        return "deleted", args, kwargs


def test_they_need_no_more_than_a_key_and_two_methods(transactional_db, hear):
    class Thing(NotifyOnChange, Base):
        pass

    thing = Thing()
    assert thing.save(1, using="x") == ("saved", (1,), {"using": "x"})
    assert thing.save(update_fields=["a"]) == ("saved", (), {"update_fields": ["a"]})
    assert thing.delete(2, keep_parents=True) == ("deleted", (2,), {"keep_parents": True})
    assert hear() == [
        news("create", "thing-7", id=7),
        news("update", "thing-7", id=7, updated_fields=["a"]),
        news("delete", "thing-7", id=7),
    ]


def test_what_is_what():
    assert [base.__name__ for base in NotifyOnChange.__bases__] == [
        "NotifyOnCreate",
        "NotifyOnUpdate",
        "NotifyOnDelete",
    ]
    assert NotifyOnUpdate.rohrpost_always_send is True
    assert {mixin.encoder for mixin in (NotifyOnCreate, NotifyOnDelete)} == {TolerantJSONEncoder}
    assert not any(issubclass(mixin, models.Model) for mixin in (NotifyOnCreate, NotifyOnUpdate, NotifyOnDelete))
