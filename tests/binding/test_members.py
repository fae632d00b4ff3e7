"""Members beside the fields."""

import datetime as dt

import pytest

from fairway.binding import WebsocketBindingWithMembers
from tests.support.bound.models import Person, Post


def group_names(self, instance):
    return ["red"]


def test_attributes_and_methods(ears):
    class PostBinding(WebsocketBindingWithMembers):
        model = Post
        stream = "posts"
        fields = ["title"]
        send_members = ["shout", "pk", "title.upper", "_meta.verbose_name"]

        def group_names(self, instance):
            return ["red"]

    post = Post.objects.create(title="one")
    data = {"title": "one", "shout": "ONE", "pk": post.pk, "title__upper": "ONE", "_meta__verbose_name": "post"}
    assert ears.hear() == [("red", "create", post.pk, data)]


def test_related_objects_that_may_be_missing(ears):
    class PersonBinding(WebsocketBindingWithMembers):
        model = Person
        stream = "people"
        fields = ["name"]
        send_members = ["boss.name", "boss.boss.name"]

        def group_names(self, instance):
            return ["red"]

    ada = Person.objects.create(name="ada")
    Person.objects.create(name="eve", boss=ada)
    assert [(data["boss__name"], data["boss__boss__name"]) for *_, data in ears.hear()] == [(None, None), ("ada", None)]


def test_a_member_replaces_a_field_and_is_encoded(ears, monkeypatch):
    class PostBinding(WebsocketBindingWithMembers):
        model = Post
        stream = "posts"
        fields = ["title", "room"]
        send_members = ["title"]

        def group_names(self, instance):
            return ["red"]

        def serialize_data(self, instance):
            instance.title = dt.date(2026, 1, 2)
            return super().serialize_data(instance)

    Post.objects.create(title="one")
    assert [data for *_, data in ears.hear()] == [{"title": "2026-01-02", "room": ""}]


def test_a_member_that_is_not_there_is_an_error(ears):
    class PostBinding(WebsocketBindingWithMembers):
        model = Post
        stream = "posts"
        fields = ["title"]
        send_members = ["nothing"]

        def group_names(self, instance):
            return ["red"]

    with pytest.raises(AttributeError, match="nothing"):
        Post.objects.create(title="one")
