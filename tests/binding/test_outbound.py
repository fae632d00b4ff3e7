"""Saves and deletes of bound models, as clients hear of them."""

import pickle
from contextlib import contextmanager, suppress

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import F
from django.db.models.signals import post_save, pre_save

from fairway.binding import WebsocketBinding
from tests.support.bound.models import Page, PinnedPost, Post, PostProxy, Tag, Token

DATA = {"title": "one", "admin_only": False}


@contextmanager
def rolled_back():
    with suppress(ZeroDivisionError), transaction.atomic():
        yield
        raise ZeroDivisionError


@pytest.fixture
def binding():
    class PostBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title", "admin_only"]

        # As the release notes have it.
        def group_names(self, instance):
            if instance.admin_only:
                return ["admins"]
            else:  # noqa: RET505  verbatim
                return ["admins", "non-admins"]

    return PostBinding


@pytest.fixture
def post(binding, ears):
    post = Post.objects.create(title="one")
    assert ears.hear() == [("admins", "create", post.pk, DATA), ("non-admins", "create", post.pk, DATA)]
    return post


def test_the_example_of_the_release_notes(post, ears):
    post.admin_only = True
    post.save()
    hidden = {"title": "one", "admin_only": True}
    assert ears.hear() == [("non-admins", "delete", post.pk, DATA), ("admins", "update", post.pk, hidden)]
    post = Post.objects.get()
    post.admin_only = False
    post.save()
    assert ears.hear() == [("admins", "update", post.pk, DATA), ("non-admins", "create", post.pk, DATA)]
    pk = post.pk
    post.delete()
    assert ears.hear() == [("admins", "delete", pk, DATA), ("non-admins", "delete", pk, DATA)]


def test_a_delete_has_what_could_be_seen_and_not_what_is_hidden(post, ears):
    post.title = "secret"
    post.admin_only = True
    post.save()
    assert ears.hear()[0] == ("non-admins", "delete", post.pk, DATA)


def test_a_message_names_stream_and_model(post, ears):
    post.save()
    group, stream, payload = ears.payloads()[0]
    assert (group, stream) == ("admins", "posts")
    assert payload == {"action": "update", "pk": post.pk, "data": DATA, "model": "bound.post"}


def test_group_names_may_be_a_class_method(ears):
    class PostBinding(WebsocketBinding):
        model = "bound.Post"
        stream = "posts"
        fields = "__all__"

        @classmethod
        def group_names(cls, instance):
            return {"red"}

    Post.objects.create(title="one")
    assert ears.actions() == [("red", "create")]


@pytest.mark.parametrize("names", ["red", b"red", None, 5])
def test_group_names_that_are_no_list_are_an_error_on_the_line_that_saves(ears, names):
    class PostBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title"]

        def group_names(self, instance):
            return names

    with pytest.raises(TypeError, match="returns a list of group names"):
        Post.objects.create(title="one")


def test_nobody_is_told_of_what_is_rolled_back(post, ears):
    with rolled_back():
        post.title = "two"
        post.save()
    assert ears.hear() == []


def test_nobody_is_told_of_a_savepoint_that_is_rolled_back(post, ears):
    with transaction.atomic():
        post.admin_only = True
        with rolled_back():
            post.save()
        assert ears.hear() == []
        post.title = "two"
        post.admin_only = False
        post.save()
        assert ears.hear() == []
    assert ears.actions() == [("admins", "update"), ("non-admins", "update")]


def test_saves_of_one_transaction_arrive_in_order_when_it_commits(post, ears):
    with transaction.atomic():
        post.admin_only = True
        post.save()
        post.title = "two"
        post.save()
        post.delete()
        assert ears.hear() == []
    assert [(group, action, data["title"]) for group, action, _pk, data in ears.hear()] == [
        ("non-admins", "delete", "one"),
        ("admins", "update", "one"),
        ("admins", "update", "two"),
        ("admins", "delete", "two"),
    ]


def test_a_message_has_what_was_saved_though_the_instance_changes_later(post, ears):
    with transaction.atomic():
        post.save()
        post.title = "later"
    assert {data["title"] for *_, data in ears.hear()} == {"one"}


def test_update_fields_only_what_is_stored_counts(post, ears):
    post.title = "never stored"
    post.admin_only = True
    post.save(update_fields=["room"])
    assert ears.hear() == [("admins", "update", post.pk, DATA), ("non-admins", "update", post.pk, DATA)]
    post.save(update_fields=["admin_only"])
    assert ears.hear()[0] == ("non-admins", "delete", post.pk, DATA)
    post.save(update_fields=[])
    assert ears.hear() == []


def test_deferred_fields(post, ears):
    found = Post.objects.only("room").get()
    found.room = "blue"
    found.save()
    assert ears.hear()[0] == ("admins", "update", post.pk, DATA)


def test_expressions_are_told_by_their_values(ears):
    class TokenBinding(WebsocketBinding):
        model = Token
        stream = "tokens"
        fields = ["label"]

        def group_names(self, instance):
            return [instance.label]

    token = Token.objects.create(label="red")
    token.label = F("label")
    token.save()
    assert ears.hear() == [
        ("red", "create", str(token.pk), {"label": "red"}),
        ("red", "update", str(token.pk), {"label": "red"}),
    ]


def test_a_key_that_was_set_before_the_first_save(binding, ears):
    Post(pk=77, title="one").save()
    assert [heard[1:3] for heard in ears.hear()] == [("create", 77)] * 2
    Post(pk=77, title="two", admin_only=True).save()  # Django updates the row
    assert ears.hear()[0] == ("non-admins", "delete", 77, DATA)


def test_a_key_as_text_is_told_as_the_key_it_is(post, ears):
    Post(pk=str(post.pk), title="two").save()
    assert [pk for _, _, pk, _ in ears.hear()] == [post.pk] * 2


def test_a_row_that_changes_its_key_is_a_new_one(post, ears):
    post.pk += 1
    post.save()
    assert [heard[1:3] for heard in ears.hear()] == [("create", post.pk)] * 2
    post.pk = None
    post.save()
    assert {heard[1] for heard in ears.hear()} == {"create"}
    assert Post.objects.count() == 3


def test_natural_keys(ears):
    class PageBinding(WebsocketBinding):
        model = Page
        stream = "pages"
        fields = "__all__"

        def group_names(self, instance):
            return ["everyone"]

    page = Page.objects.create(slug="home", text="x")
    page.save()
    assert ears.hear() == [
        ("everyone", "create", "home", {"text": "x"}),
        ("everyone", "update", "home", {"text": "x"}),
    ]


def test_a_proxy_is_the_same_row(post, ears):
    found = PostProxy.objects.get()
    found.admin_only = True
    found.save()
    assert ears.actions() == [("non-admins", "delete"), ("admins", "update")]
    PostProxy.objects.all().delete()
    assert ears.actions() == [("admins", "delete")]


def test_a_bound_proxy_hears_of_the_row_and_is_asked_as_itself(ears):
    class ProxyBinding(WebsocketBinding):
        model = PostProxy
        stream = "posts"
        fields = ["title"]

        def group_names(self, instance):
            assert type(instance) is PostProxy
            return ["red"]

    post = Post.objects.create(title="one")
    post.save()
    post.delete()
    assert ears.actions() == [("red", "create"), ("red", "update"), ("red", "delete")]


def test_a_child_with_a_table_of_its_own_is_its_parent_too(binding, ears):
    pinned = PinnedPost.objects.create(title="one", pin="!")
    assert ears.hear() == [("admins", "create", pinned.pk, DATA), ("non-admins", "create", pinned.pk, DATA)]
    pinned.admin_only = True
    pinned.save()
    assert ears.actions() == [("non-admins", "delete"), ("admins", "update")]
    pinned.delete(keep_parents=True)
    assert ears.actions() == []
    post = Post.objects.get()
    child = PinnedPost(post_ptr=post, title="two")
    child.save()
    assert ears.actions() == [("admins", "update"), ("non-admins", "create")]
    child.delete()
    assert ears.actions() == [("admins", "delete"), ("non-admins", "delete")]


def test_a_bound_child_hears_of_what_its_parent_changes(ears):
    class PinnedBinding(WebsocketBinding):
        model = PinnedPost
        stream = "pinned"
        fields = ["title", "pin"]

        def group_names(self, instance):
            return [instance.room]

    Post.objects.create(title="no child", room="red").save()
    pinned = PinnedPost.objects.create(title="one", pin="!", room="red")
    assert ears.hear() == [("red", "create", pinned.pk, {"title": "one", "pin": "!"})]
    post = Post.objects.get(pk=pinned.pk)
    post.room = "blue"
    post.title = "two"
    post.save()
    assert ears.hear() == [
        ("red", "delete", pinned.pk, {"title": "one", "pin": "!"}),
        ("blue", "create", pinned.pk, {"title": "two", "pin": "!"}),
    ]
    post.delete()
    assert ears.hear() == [("blue", "delete", pinned.pk, {"title": "two", "pin": "!"})]


def test_cascades_are_heard(ears):
    class TokenBinding(WebsocketBinding):
        model = "bound.Profile"
        stream = "profiles"
        fields = ["motto"]

        def group_names(self, instance):
            return ["red"]

    user = User.objects.create(username="ada")
    from tests.support.bound.models import Profile

    Profile.objects.create(user=user, motto="!")
    ears.hear()
    pk = user.pk
    User.objects.all().delete()
    assert ears.hear() == [("red", "delete", pk, {"motto": "!"})]


def test_bulk_operations_are_not_heard(post, ears):
    Post.objects.update(title="two")
    Post.objects.bulk_create([Post(title="three")])
    assert ears.hear() == []


def test_a_receiver_that_saves_again_loses_nobody(binding, ears):
    """Whoever connected first, and before or after the row is stored."""

    def hide(instance, **kwargs):
        if instance.title == "hide me" and not instance.admin_only:
            instance.admin_only = True
            instance.save()

    for signal in (pre_save, post_save):
        for first in (True, False):
            receivers = signal.receivers[:]
            signal.connect(hide, sender=Post)
            if first:
                signal.receivers.insert(0, signal.receivers.pop())
            signal.sender_receivers_cache.clear()
            try:
                post = Post.objects.create(title="one")
                ears.hear()
                post.title = "hide me"
                post.save()
            finally:
                signal.receivers = receivers
                signal.sender_receivers_cache.clear()
            heard = ears.hear()
            held = {"admins": True, "non-admins": True}
            for group, action, pk, _data in heard:
                assert pk == post.pk
                held[group] = action != "delete"
            assert held == {"admins": True, "non-admins": False}, (signal, first)


def test_a_receiver_that_saves_a_new_object_again_loses_nobody(ears):
    """The receiver hears of the new object before the binding does."""

    def number(instance, created, **kwargs):
        if created:
            instance.room = "numbered"
            instance.save()

    post_save.connect(number, sender=Post)
    try:

        class PostBinding(WebsocketBinding):
            model = Post
            stream = "posts"
            fields = ["room"]

            def group_names(self, instance):
                return ["red"]

        post = Post.objects.create(title="one")
    finally:
        post_save.disconnect(number, sender=Post)
    heard = ears.hear()
    assert heard[0] == ("red", "create", post.pk, {"room": "numbered"})
    assert {action for _, action, _, _ in heard[1:]} <= {"create", "update"}


def test_a_save_that_fails_is_not_heard_and_the_next_one_is(binding, ears):
    post = Post.objects.create(title="one")
    ears.hear()
    for _ in range(3):
        post.title = None
        with pytest.raises(IntegrityError):
            post.save()
    assert ears.hear() == []
    post.title = "two"
    post.save()
    assert ears.actions() == [("admins", "update"), ("non-admins", "update")]
    again = pickle.loads(pickle.dumps(post))
    again.admin_only = True
    again.save()
    assert ears.actions() == [("non-admins", "delete"), ("admins", "update")]


def test_another_row_is_saved_by_an_instance_whose_save_failed(binding, ears):
    one, two = Post.objects.create(title="one"), Post.objects.create(title="two", admin_only=True)
    ears.hear()
    one.title = None
    with pytest.raises(IntegrityError):
        one.save()
    one.pk, one.title, one.admin_only = two.pk, "three", True
    one.save()
    assert ears.actions() == [("admins", "update")]


def test_a_row_that_somebody_else_has_deleted(post, ears):
    stale = Post.objects.get()
    post.delete()
    ears.hear()
    stale.save()  # Django inserts it again
    assert ears.actions() == [("admins", "create"), ("non-admins", "create")]
    gone = Post.objects.get()
    Post.objects.all()._raw_delete("default")
    gone.delete()
    assert ears.hear() == []


def test_several_bindings_of_a_model_share_one_query(binding, ears, django_assert_num_queries):
    class Second(WebsocketBinding):
        model = Post
        stream = "titles"
        fields = ["title"]

        def group_names(self, instance):
            return ["red"]

    with django_assert_num_queries(1):
        post = Post.objects.create(title="one")
    with django_assert_num_queries(2):
        post.save()
    assert [(group, stream) for group, stream, _ in ears.payloads()] == [
        ("admins", "posts"),
        ("non-admins", "posts"),
        ("red", "titles"),
    ] * 2


def test_models_without_bindings_cost_nothing(binding, ears, django_assert_num_queries):
    with django_assert_num_queries(1):
        page = Page(slug="home", text="x")
        page.save(force_insert=True)
    assert not post_save.has_listeners(Page)
    assert not pre_save.has_listeners(Page)


def test_signal_kwargs_are_there(ears):
    seen = []

    class PostBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title"]

        def group_names(self, instance):
            return ["red"]

        def serialize(self, instance, action):
            assert self.instance is instance
            seen.append((action, self.signal_kwargs))
            return {}

    post = Post.objects.create(title="one")
    post.save(update_fields=["title"])
    post.delete()
    assert [action for action, _ in seen] == ["create", "update", "delete"]
    assert [kwargs.get("created") for _, kwargs in seen] == [True, False, None]
    assert seen[1][1]["update_fields"] == frozenset({"title"})
    assert seen[2][1]["using"] == "default"
    assert ears.hear() == []  # an empty payload is not sent


def test_without_a_stream_nothing_can_be_sent(ears):
    class PostBinding(WebsocketBinding):
        model = Post
        fields = ["title"]

        def group_names(self, instance):
            return ["red"]

    with pytest.raises(AssertionError, match="PostBinding has no stream"):
        Post.objects.create(title="one")


def test_a_fixture_is_told_of_when_it_is_stored_as_a_whole(ears, tmp_path):
    """A row may stand before what it refers to."""
    from django.core.management import call_command

    class TokenBinding(WebsocketBinding):
        model = "bound.Everything"
        stream = "everything"
        fields = ["text", "tags"]

        def group_names(self, instance):
            return [instance.tag.name]

    fixture = tmp_path / "some.json"
    fixture.write_text(
        """[
        {"model": "bound.everything", "pk": 5,
         "fields": {"text": "x", "tag": 7, "tags": [7], "changed": "2026-01-01T00:00:00Z"}},
        {"model": "bound.tag", "pk": 7, "fields": {"name": "red"}}
        ]"""
    )
    call_command("loaddata", str(fixture), verbosity=0)
    assert ears.hear() == [("red", "create", 5, {"text": "x", "tags": [7]})]
    fixture.write_text(fixture.read_text().replace('"x"', '"y"'))
    call_command("loaddata", str(fixture), verbosity=0)
    assert ears.hear() == [("red", "update", 5, {"text": "y", "tags": [7]})]


def test_an_object_that_is_deserialised_outside_a_transaction(ears):
    from django.core import serializers

    class PostBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title", "tags"]

        def group_names(self, instance):
            return ["red"]

    tag = Tag.objects.create(name="t")
    record = [{"model": "bound.post", "pk": 3, "fields": {"title": "x", "tags": [tag.pk]}}]
    for found in serializers.deserialize("python", record):
        found.save()
    assert ears.hear()[-1] == ("red", "update", 3, {"title": "x", "tags": [tag.pk]})


def test_another_database(binding, ears, tmp_path):
    connections.settings["other"] = {**connections.settings["default"], "NAME": str(tmp_path / "other.sqlite3")}
    try:
        connections["other"].connect()  # the test case knows of the first database only
        with connections["other"].schema_editor() as editor:
            editor.create_model(Post)
        post = Post.objects.create(title="one")
        ears.hear()
        with transaction.atomic():  # of the first database
            post.save(using="other")
            assert ears.actions() == [("admins", "create"), ("non-admins", "create")]
        with transaction.atomic("other"):
            post.admin_only = True
            post.save()
            assert ears.actions() == []
        assert ears.actions() == [("non-admins", "delete"), ("admins", "update")]
        assert not Post.objects.using("default").get().admin_only
    finally:
        connections["other"].close()
        del connections["other"]
        del connections.settings["other"]


def test_transactions_that_are_managed_by_hand(binding, ears):
    connection.set_autocommit(False)
    try:
        Post.objects.create(title="one")
        connection.commit()
    finally:
        connection.set_autocommit(True)
    assert ears.actions() == [("admins", "create"), ("non-admins", "create")]


def test_a_model_that_is_defined_later(binding, ears):
    class LatePost(Post):
        class Meta:
            proxy = True
            app_label = "bound"

    try:
        LatePost.objects.create(title="one")
        assert ears.actions() == [("admins", "create"), ("non-admins", "create")]
    finally:
        from django.apps import apps

        del apps.all_models["bound"]["latepost"]
        apps.clear_cache()


def test_bindings_that_are_declared_while_an_object_is_saved_hear_of_the_next_save(ears):
    def declare(model):
        def group_names(self, instance):
            return ["red"]

        body = {"model": model, "stream": "posts", "fields": ["title"], "group_names": group_names}
        type(WebsocketBinding)("LateBinding", (WebsocketBinding,), body)

    for model in (Post, PostProxy):  # the second one when Post has a binding

        def first(model=model, **kwargs):
            declare(model)

        pre_save.connect(first, sender=Post)
        try:
            post = Post.objects.create(title="one")
        finally:
            pre_save.disconnect(first, sender=Post)
        declared = len(ears.hear())
        post.save()
        assert len(ears.hear()) == declared + 1


def test_an_object_that_was_loaded_is_heard_of_as_any_other_later(ears):
    class PostBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["tags"]

        def group_names(self, instance):
            return ["red"]

    tag = Tag.objects.create(name="t")
    with transaction.atomic():
        post = Post(pk=3, title="one")
        post.save_base(raw=True)
        post.tags.add(tag)
    assert ears.hear() == [("red", "create", 3, {"tags": [tag.pk]})]
    post.tags.clear()
    assert ears.hear() == [("red", "update", 3, {"tags": []})]


def test_parent_and_child_may_both_be_bound(binding, ears):
    class PinnedBinding(WebsocketBinding):
        model = PinnedPost
        stream = "pinned"
        fields = ["pin"]

        def group_names(self, instance):
            return ["red"]

    post, pinned = Post.objects.create(title="one"), PinnedPost.objects.create(title="two", pin="!")
    assert ears.actions() == [("admins", "create"), ("non-admins", "create")] * 2 + [("red", "create")]
    post.delete()
    assert ears.actions() == [("admins", "delete"), ("non-admins", "delete")]
    pinned.delete()
    assert sorted(ears.actions()) == [("admins", "delete"), ("non-admins", "delete"), ("red", "delete")]


def test_a_layer_that_is_away_keeps_nothing_from_being_stored(binding, ears, settings, tmp_path, caplog):
    layer = {"BACKEND": "fairway.layers.LocalLayer", "CONFIG": {"path": str(tmp_path / "none.sock"), "wait": 0.01}}
    settings.CHANNEL_LAYERS = {"default": layer}
    post = Post.objects.create(title="one")
    assert Post.objects.get() == post
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    said = f"a change of {Post._meta.label_lower} {post.pk} is stored, but 2 groups are not told: no hub answers at"
    assert record.getMessage().startswith(said)
    assert record.exc_info is None
