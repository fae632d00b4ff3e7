"""Bindings on PostgreSQL: rows that two transactions change, and values that it refuses."""

import threading

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections, transaction

from fairway.binding import WebsocketBinding
from fairway.conf import channel_layers
from tests.binding.harness import Ears
from tests.support.bound.models import Everything, PinnedPost, Post, Reading, Tag
from tests.support.postgres import postgres
from tests.support.waiting import wait_until

MODELS = (ContentType, Permission, Group, User, Tag, Post, PinnedPost, Reading, Everything)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def server():
    with postgres() as database:
        yield database


@pytest.fixture
def ears(server, settings, django_db_setup, django_db_blocker):
    before = connections.settings["default"]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}
    with django_db_blocker.unblock():
        kept = connections["default"]
        connections.settings["default"] = {**before, "OPTIONS": {}, **server}
        del connections["default"]
        try:
            with connection.schema_editor() as editor:
                for model in MODELS:
                    editor.create_model(model)
            yield Ears()
            with connection.cursor() as cursor:
                cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        finally:
            connection.close()
            connections.settings["default"] = before
            connections["default"] = kept
    channel_layers.clear()


@pytest.fixture
def fresh_validators():
    """A field keeps the validators of the database that it was first used with."""

    def forget():
        for model in (Everything, Tag):
            for field in model._meta.concrete_fields:
                field.__dict__.pop("validators", None)

    forget()
    yield
    forget()


def in_thread(function):
    def run():
        try:
            function()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def waiting_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction sees the statistics of its first look
        cursor.execute(WAITING)
        return cursor.fetchone()[0]


@pytest.mark.parametrize("end", ["save", "delete"])
@pytest.mark.parametrize("model", [Post, PinnedPost])
def test_the_second_of_two_transactions_sees_what_the_first_has_changed(ears, end, model):
    def group_names(self, instance):
        return [instance.room]

    body = {"model": model, "stream": "posts", "fields": ["room"], "group_names": group_names}
    type(WebsocketBinding)("PostBinding", (WebsocketBinding,), body)
    post = model.objects.create(title="one", room="red")
    mine, theirs = model.objects.get(), model.objects.get()

    def second():
        with transaction.atomic():
            theirs.room = "everyone"
            getattr(theirs, end)()

    with transaction.atomic():
        mine.room = "blue"
        mine.save()
        thread = in_thread(second)
        wait_until(waiting_for_a_lock, "the second transaction")
    thread.join(10)
    told = {("red", "create"), ("red", "delete"), ("blue", "create"), ("blue", "delete")}
    assert {heard[:2] for heard in ears.hear() if heard[2] == post.pk} == (
        told | {("everyone", "create")} if end == "save" else told
    )


def test_values_that_it_would_refuse_are_answered(ears, fresh_validators):
    class EverythingBinding(WebsocketBinding):
        model = Everything
        stream = "all"
        fields = "__all__"
        channel_session_user = False

        def group_names(self, instance):
            return []

        def has_permission(self, user, action, pk):
            return True

    row = Everything.objects.create()
    wrong = [
        ('{"text": "\\u0000"}', "__all__"),
        ('{"text": "\\ud800"}', "__all__"),
        ('{"extra": {"deep": "\\u0000"}}', "__all__"),
        ('{"number": 2147483648}', "number"),
        ('{"big": 9223372036854775808}', "big"),
        ('{"tags": [9223372036854775808]}', "tags"),
        ('{"tag": 9223372036854775808}', "tag"),
        ('{"price": 1e20}', "price"),
        ('{"moment": "9999-12-31T23:59:59-14:00"}', "moment"),
    ]
    for data, key in wrong:
        EverythingBinding.consumer(ears.frame(f'{{"action": "update", "pk": {row.pk}, "data": {data}}}'))
        (answer,) = ears.answers()
        assert list(answer["payload"]["errors"]) == [key]
    EverythingBinding.consumer(ears.frame('{"action": "update", "pk": 9223372036854775807, "data": {"text": "x"}}'))
    assert list(ears.answers()[0]["payload"]["errors"]) == ["pk"]
    EverythingBinding.consumer(
        ears.frame(f'{{"action": "update", "pk": {row.pk}, "data": {{"ratio": 1e300, "span": "P99999D"}}}}')
    )
    assert ears.answers() == []
