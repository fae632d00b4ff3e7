"""Which rows a saved instance is about."""

import pytest
from django.db import connection, transaction
from django.db.models import F

from fairway.binding.watches import Watch, find, is_as_stored, is_related
from tests.support.bound.models import IntegerValue, PinnedPost, Post, PostProxy, Tag, Token


@pytest.mark.parametrize(
    ("saved", "bound", "related"),
    [
        (Post, Post, True),
        (PostProxy, Post, True),
        (Post, PostProxy, True),
        (PinnedPost, Post, True),
        (PinnedPost, PostProxy, True),
        (Post, PinnedPost, True),
        (Tag, Post, False),
    ],
)
def test_models_that_share_rows(saved, bound, related):
    assert is_related(saved, bound) is related


def test_keys():
    assert Watch(Post).key_of(Post(pk=5)) == ("pk", 5)
    assert Watch(Post).key_of(Post()) == ("pk", None)
    assert Watch(Post).key_of(PinnedPost(pk=5, id=5)) == ("pk", 5)
    assert Watch(Post).key_of(PinnedPost(post_ptr_id=5)) == ("pk", 5)
    assert Watch(PinnedPost).key_of(Post(pk=5)) == ("id", 5)


def test_rows(db):
    post = Post.objects.create(title="one")
    watch = Watch(Post)
    assert find(watch.rows("default"), ("pk", post.pk)) == post
    assert find(watch.rows("default"), ("pk", post.pk + 1)) is None
    assert find(watch.rows("default"), ("pk", None)) is None


def test_what_is_as_stored(db):
    watch = Watch(IntegerValue)
    row = IntegerValue.objects.create(name="one")
    assert is_as_stored(row, watch, None)
    assert not is_as_stored(row, watch, ["name"])
    assert not is_as_stored(IntegerValue.objects.defer("value").get(), watch, None)
    row.value = F("value") + 1
    assert not is_as_stored(row, watch, None)
    assert not is_as_stored(Post(), Watch(PostProxy), None)
    assert is_as_stored(PostProxy(), Watch(Post), None)
    assert not is_as_stored(PinnedPost(), Watch(Post), None)


def test_rows_are_locked_where_a_transaction_holds_the_lock(transactional_db, monkeypatch):
    watch = Watch(Token)
    monkeypatch.setattr(connection.features, "has_select_for_update", True)
    rows = watch.rows("default")
    assert not watch.locked(rows).query.select_for_update
    with transaction.atomic():
        assert watch.locked(rows).query.select_for_update
        monkeypatch.setattr(connection.features, "has_select_for_update", False)
        assert not watch.locked(rows).query.select_for_update
