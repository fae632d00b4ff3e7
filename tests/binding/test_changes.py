"""What a client holds is what it may see, whatever happens to the rows."""

from contextlib import suppress

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.binding import WebsocketBinding
from fairway.binding.changes import Known, Notes, groups_of
from fairway.binding.fields import field_values
from fairway.binding.watches import Watch
from tests.binding.harness import View
from tests.support.bound.models import PinnedPost, Post, PostProxy, Tag

ROOMS = ("", "red", "blue")
which = st.integers(0, 3)
change = st.one_of(
    st.tuples(st.just("create"), st.sampled_from([Post, PostProxy, PinnedPost]), st.sampled_from(ROOMS)),
    st.tuples(st.just("edit"), which, st.sampled_from(ROOMS), st.booleans()),
    st.tuples(st.just("edit_some"), which, st.sampled_from(ROOMS), st.booleans()),
    st.tuples(st.just("edit_as_proxy"), which, st.sampled_from(ROOMS), st.booleans()),
    st.tuples(st.just("edit_stale"), which, st.sampled_from(ROOMS), st.booleans()),
    st.tuples(st.just("delete"), which),
    st.tuples(st.just("delete_all_of"), st.sampled_from(ROOMS)),
    st.tuples(st.just("tag"), which, st.sets(st.integers(0, 1))),
    st.tuples(st.just("untag"), which),
    st.tuples(st.just("tag_from_there"), st.integers(0, 1), st.sets(which)),
    st.tuples(st.just("untag_from_there"), st.integers(0, 1)),
)
changes = st.lists(change, max_size=6)
transactions = st.lists(
    st.one_of(
        changes.map(lambda found: ("autocommit", found)),
        changes.map(lambda found: ("commit", found)),
        changes.map(lambda found: ("roll back", found)),
        changes.map(lambda found: ("savepoint", found)),
    ),
    max_size=5,
)


class Rows:
    """Does to the rows what a test says."""

    def __init__(self):
        self.stale = {}

    def do(self, name, *arguments):
        getattr(self, name)(*arguments)

    def find(self, number, model=Post):
        rows = list(model.objects.order_by("pk"))
        return rows[number % len(rows)] if rows else None

    def create(self, model, room):
        post = model.objects.create(title="new", room=room)
        self.stale[post.pk] = Post.objects.get(pk=post.pk)

    def edit(self, number, room, admin_only, post=None):
        post = post or self.find(number)
        if post is not None:
            post.room, post.admin_only, post.title = room, admin_only, f"{room}{admin_only}"
            post.save()

    def edit_some(self, number, room, admin_only):
        post = self.find(number)
        if post is not None:
            post.room, post.admin_only, post.title = room, admin_only, "not stored"
            post.save(update_fields=["room"] if admin_only else ["admin_only"])

    def edit_as_proxy(self, number, room, admin_only):
        self.edit(number, room, admin_only, self.find(number, PostProxy))

    def edit_stale(self, number, room, admin_only):
        post = self.find(number)
        if post is not None and post.pk in self.stale:
            self.edit(number, room, admin_only, self.stale[post.pk])

    def delete(self, number):
        post = self.find(number)
        if post is not None:
            post.delete()

    def delete_all_of(self, room):
        Post.objects.filter(room=room).delete()

    def tag(self, number, numbers):
        post = self.find(number)
        if post is not None:
            post.tags.set([self.find(one, Tag) for one in numbers])

    def untag(self, number):
        post = self.find(number)
        if post is not None:
            post.tags.clear()

    def tag_from_there(self, number, numbers):
        posts = {self.find(one) for one in numbers} - {None}
        self.find(number, Tag).posts.set(posts)

    def untag_from_there(self, number):
        self.find(number, Tag).posts.clear()


def happen(rows, mode, found):
    if mode == "autocommit":
        for one in found:
            rows.do(*one)
        return
    with suppress(ZeroDivisionError), transaction.atomic():
        for one in found:
            if mode == "savepoint":
                with suppress(ZeroDivisionError), transaction.atomic():
                    rows.do(*one)
                    raise ZeroDivisionError
            rows.do(*one)
        if mode == "roll back":
            raise ZeroDivisionError


@pytest.mark.timeout(600)  # a soak tries thousands of histories
def test_a_client_holds_exactly_what_it_may_see(ears):
    class PostBinding(WebsocketBinding):
        """Seen by its room, and by those who have one of its tags, unless it is for admins only."""

        model = Post
        stream = "posts"
        fields = ["title", "room", "tags"]

        def group_names(self, instance):
            if instance.admin_only:
                return ["admins"]
            return ["admins", *filter(None, [instance.room]), *(tag.name for tag in instance.tags.all())]

    @settings(suppress_health_check=list(HealthCheck))
    @given(transactions)
    def check(history):
        Post.objects.all().delete()
        Tag.objects.all().delete()
        Tag.objects.create(name="red")
        Tag.objects.create(name="everyone")
        ears.hear()
        views = {group: View() for group in ("admins", "red", "blue", "everyone")}
        rows = Rows()
        for mode, found in history:
            happen(rows, mode, found)
            for group, action, pk, data in ears.hear():
                views[group].apply(action, pk, data)
            binding = PostBinding()
            posts = list(Post.objects.all())
            for group, view in views.items():
                seen = [post for post in posts if group in groups_of(binding, post)]
                assert view.held == {post.pk: field_values(post, PostBinding.bound_to(Post)) for post in seen}

    check()


def test_notes_stay_where_they_are(db):
    import copy
    import pickle

    notes = Notes(a=1)
    assert pickle.loads(pickle.dumps(notes)) == copy.copy(notes) == {}


def test_nobody_sees_what_is_not_there():
    assert groups_of(WebsocketBinding(), None) == frozenset()


def test_a_binding_that_is_registered_while_a_row_is_saved_creates_it(ears):
    watch = Watch(Post)
    known = Known(watch, None)

    class PostBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title"]

        def group_names(self, instance):
            return ["red"]

    watch.bindings.append(PostBinding)
    known.note(None)
    known.tell(Post(pk=1, title="one"), "default", {})
    assert ears.hear() == [("red", "create", 1, {"title": "one"})]


@pytest.mark.parametrize("using", ["default"])
def test_what_a_message_raises_on_commit_is_logged_and_the_next_one_is_sent(ears, using, caplog):
    class PostBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title"]

        def group_names(self, instance):
            return ["x" * 500 if instance.title == "one" else "red"]

    with transaction.atomic(using):
        Post.objects.create(title="one")
        Post.objects.create(title="two")
    assert ears.actions() == [("red", "create")]
    assert "InvalidName" in caplog.text
