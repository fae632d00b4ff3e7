"""Many-to-many changes of bound models, from both ends."""

import pickle

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models.signals import m2m_changed

from fairway.binding import WebsocketBinding
from tests.support.bound.models import LoudTag, Person, Post, Reading, Tag


@pytest.fixture
def tagged():
    class TaggedBinding(WebsocketBinding):
        """Whoever has a tag sees the posts with it."""

        model = Post
        stream = "posts"
        fields = ["title", "tags"]

        def group_names(self, instance):
            return ["everyone", *(tag.name for tag in instance.tags.all())]

    return TaggedBinding


@pytest.fixture
def tags(db):
    return [Tag.objects.create(name=name) for name in ("red", "blue")]


@pytest.fixture
def post(tagged, tags, ears):
    post = Post.objects.create(title="one")
    ears.hear()
    return post


def summary(heard):
    return [(group, action, data.get("tags")) for group, action, _pk, data in heard]


def test_add_and_remove_at_the_bound_end(post, tags, ears):
    red, blue = tags
    post.tags.add(red)
    assert summary(ears.hear()) == [("everyone", "update", [red.pk]), ("red", "create", [red.pk])]
    post.tags.add(red)  # nothing new
    assert ears.hear() == []
    post.tags.add(blue)
    both = [red.pk, blue.pk]
    assert summary(ears.hear()) == [("everyone", "update", both), ("red", "update", both), ("blue", "create", both)]
    post.tags.remove(red)
    assert summary(ears.hear()) == [
        ("red", "delete", both),
        ("blue", "update", [blue.pk]),
        ("everyone", "update", [blue.pk]),
    ]


def test_add_and_remove_at_the_other_end(post, tags, ears):
    red, _blue = tags
    second = Post.objects.create(title="two")
    ears.hear()
    red.posts.add(post, second)
    heard = ears.hear()
    assert {pk for _, _, pk, _ in heard} == {post.pk, second.pk}
    assert summary(heard) == [("everyone", "update", [red.pk]), ("red", "create", [red.pk])] * 2
    red.posts.remove(post)
    assert summary(ears.hear()) == [("red", "delete", [red.pk]), ("everyone", "update", [])]
    red.posts.clear()
    heard = ears.hear()
    assert summary(heard) == [("red", "delete", [red.pk]), ("everyone", "update", [])]
    assert {pk for _, _, pk, _ in heard} == {second.pk}
    red.posts.clear()
    assert ears.hear() == []


def test_set_and_clear(post, tags, ears):
    red, blue = tags
    post.tags.set([red])
    ears.hear()
    post.tags.set([blue])
    assert summary(ears.hear()) == [
        ("red", "delete", [red.pk]),
        ("everyone", "update", []),
        ("everyone", "update", [blue.pk]),
        ("blue", "create", [blue.pk]),
    ]
    post.tags.clear()
    assert summary(ears.hear()) == [("blue", "delete", [blue.pk]), ("everyone", "update", [])]


def test_the_deleted_row_is_told_with_what_it_had(post, tags, ears):
    post.tags.set(tags)
    ears.hear()
    keys = [tag.pk for tag in tags]
    post.delete()
    assert summary(ears.hear()) == [(group, "delete", keys) for group in ("blue", "everyone", "red")]


@pytest.mark.parametrize("model", [Tag, LoudTag])
def test_an_object_at_the_other_end_that_is_deleted(post, tags, ears, model):
    red, _blue = tags
    post.tags.add(red)
    ears.hear()
    model.objects.get(pk=red.pk).delete()
    assert summary(ears.hear()) == [("red", "delete", [red.pk]), ("everyone", "update", [])]


def test_a_field_that_is_not_bound_may_still_change_who_sees_an_object(tags, ears):
    class TitleBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title"]

        def group_names(self, instance):
            return ["everyone", *(tag.name for tag in instance.tags.all())]

    post = Post.objects.create(title="one")
    ears.hear()
    post.tags.add(tags[0])
    assert ears.hear() == [("red", "create", post.pk, {"title": "one"})]
    post.tags.remove(tags[0])
    assert ears.hear() == [("red", "delete", post.pk, {"title": "one"})]


def test_relations_to_the_same_model(ears):
    class PersonBinding(WebsocketBinding):
        model = Person
        stream = "people"
        fields = ["friends", "follows"]

        def group_names(self, instance):
            return ["red"]

    ada, bob, eve = (Person.objects.create(name=name) for name in ("ada", "bob", "eve"))
    ears.hear()
    ada.friends.add(bob)  # a friendship has two ends
    assert sorted(pk for _, _, pk, _ in ears.hear()) == [ada.pk, bob.pk]
    bob.friends.clear()
    assert {(pk, tuple(data["friends"])) for _, _, pk, data in ears.hear()} == {(ada.pk, ()), (bob.pk, ())}
    ada.follows.add(bob)
    assert [(pk, data["follows"]) for _, _, pk, data in ears.hear()] == [(ada.pk, [bob.pk])]
    bob.followers.add(eve)
    assert [(pk, data["follows"]) for _, _, pk, data in ears.hear()] == [(eve.pk, [bob.pk])]
    bob.followers.clear()
    assert {(pk, tuple(data["follows"])) for _, _, pk, data in ears.hear()} == {(ada.pk, ()), (eve.pk, ())}


@pytest.fixture
def readers():
    class ReadersBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title"]

        def group_names(self, instance):
            return [user.username for user in instance.readers.all()]

    return ReadersBinding


def test_a_through_model_whose_objects_are_saved_and_deleted(readers, ears):
    ada, eve = (User.objects.create(username=name) for name in ("red", "blue"))
    post = Post.objects.create(title="one")
    assert ears.hear() == []
    reading = Reading.objects.create(post=post, reader=ada)
    assert ears.actions() == [("red", "create")]
    reading.pages = 5
    reading.save()
    assert ears.actions() == []
    reading.reader = eve
    reading.save()
    assert ears.actions() == [("red", "delete"), ("blue", "create")]
    other = Post.objects.create(title="two")
    reading.post = other
    reading.save()
    assert {heard[:3] for heard in ears.hear()} == {("blue", "delete", post.pk), ("blue", "create", other.pk)}
    reading.delete()
    assert ears.actions() == [("blue", "delete")]
    post.readers.add(ada, through_defaults={"pages": 1})
    assert ears.actions() == [("red", "create")]
    post.readers.clear()
    assert set(ears.actions()) == {("red", "delete")}
    post.readers.add(ada)
    ears.hear()
    User.objects.all().delete()
    assert set(ears.actions()) == {("red", "delete")}


def test_a_through_model_that_a_fixture_loads(readers, ears, tmp_path):
    user = User.objects.create(username="red")
    post = Post.objects.create(title="one")
    fixture = tmp_path / "some.json"
    fixture.write_text(
        f"""[
        {{"model": "bound.reading", "pk": 1, "fields": {{"post": {post.pk}, "reader": {user.pk}}}}},
        {{"model": "bound.reading", "pk": 2, "fields": {{"post": 9999, "reader": {user.pk}}}}},
        {{"model": "bound.post", "pk": 9999, "fields": {{"title": "two"}}}}
        ]"""
    )
    call_command("loaddata", str(fixture), verbosity=0)
    assert {heard[:3] for heard in ears.hear()} == {("red", "create", post.pk), ("red", "create", 9999)}


def test_a_receiver_that_changes_the_relation_again_loses_nobody(tagged, tags, ears):
    red, blue = tags

    def move_on(instance, action, pk_set, **kwargs):
        if action == "post_add" and pk_set == {red.pk}:
            instance.tags.remove(red)
            instance.tags.add(blue)

    for first in (True, False):
        receivers = m2m_changed.receivers[:]
        m2m_changed.connect(move_on, sender=Post.tags.through)
        if first:
            m2m_changed.receivers.insert(0, m2m_changed.receivers.pop())
        m2m_changed.sender_receivers_cache.clear()
        try:
            post = Post.objects.create(title="one")
            ears.hear()
            post.tags.add(red)
        finally:
            m2m_changed.receivers = receivers
            m2m_changed.sender_receivers_cache.clear()
        held = {}
        for group, action, _pk, data in ears.hear():
            held[group] = None if action == "delete" else data["tags"]
        assert held.get("red") is None
        assert held["blue"] == held["everyone"] == [blue.pk]


def test_a_change_that_failed_is_forgotten(post, tags, ears):
    def refuse(**kwargs):
        raise ZeroDivisionError

    m2m_changed.connect(refuse, sender=Post.tags.through)
    try:
        for _ in range(20):
            with pytest.raises(ZeroDivisionError):
                post.tags.add(tags[0])
    finally:
        m2m_changed.disconnect(refuse, sender=Post.tags.through)
    post.tags.add(tags[0])
    assert summary(ears.hear())[-1] == ("red", "create", [tags[0].pk])


def test_a_binding_that_is_declared_while_a_relation_changes_hears_of_the_next_change(ears, tags):
    def first(action, **kwargs):
        if action == "pre_add":

            class Late(WebsocketBinding):
                model = Post
                stream = "posts"
                fields = ["tags"]

                def group_names(self, instance):
                    return ["red"]

    m2m_changed.connect(first, sender=Post.tags.through)
    try:
        post = Post.objects.create(title="one")
        post.tags.add(tags[0])
    finally:
        m2m_changed.disconnect(first, sender=Post.tags.through)
    assert ears.hear() == []
    post.tags.remove(tags[0])
    assert summary(ears.hear()) == [("red", "update", [])]


def test_a_receiver_that_changes_other_objects_meanwhile(tagged, tags, ears):
    red, _blue = tags
    posts = [Post.objects.create(title=title) for title in ("one", "two")]

    def both(instance, action, pk_set, **kwargs):
        if action == "pre_add" and pk_set == {posts[0].pk}:
            instance.posts.add(posts[1])

    m2m_changed.connect(both, sender=Post.tags.through)
    try:
        ears.hear()
        red.posts.add(posts[0])
    finally:
        m2m_changed.disconnect(both, sender=Post.tags.through)
    assert sorted(heard[:3] for heard in ears.hear() if heard[0] == "red") == [
        ("red", "create", posts[0].pk),
        ("red", "create", posts[1].pk),
    ]


def test_a_copy_of_an_instance_does_not_take_along_what_has_begun(post, tags, ears):
    copies = []

    def keep(instance, action, **kwargs):
        copies.append(pickle.loads(pickle.dumps(instance)))

    m2m_changed.connect(keep, sender=Post.tags.through)
    try:
        post.tags.add(tags[0])
    finally:
        m2m_changed.disconnect(keep, sender=Post.tags.through)
    ears.hear()
    copies[0].tags.clear()
    assert summary(ears.hear()) == [("red", "delete", [tags[0].pk]), ("everyone", "update", [])]
