"""Bindings on WebSockets: frames, the place behind a demultiplexer, and who subscribes."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction

from fairway import route, route_class
from fairway.binding import WebsocketBinding
from fairway.broker.effects import Add
from fairway.conf import channel_layers
from fairway.consumers import WebsocketDemultiplexer
from tests.support.bound.models import IntegerValue, Post, Tag, Token
from tests.support.chain import Chain


def declare(model=Post, **body):
    def group_names(self, instance):
        return ["admins"] if instance.admin_only else ["admins", "non-admins"]

    body = {"model": model, "stream": "posts", "fields": ["title", "tags"], "group_names": group_names, **body}
    return type(WebsocketBinding)("TheBinding", (WebsocketBinding,), body)


@pytest.fixture
def binding(ears):
    return declare()


def test_the_message(binding, ears):
    tag = Tag.objects.create(name="t")
    post = Post.objects.create(title="one")
    post.tags.add(tag)
    payload = binding().serialize(post, "update")
    assert payload == {
        "action": "update",
        "pk": post.pk,
        "data": {"title": "one", "tags": [tag.pk]},
        "model": "bound.post",
    }
    assert json.loads(binding.encode("posts", payload)["text"]) == {"stream": "posts", "payload": payload}


def test_keys_that_json_does_not_know_are_text(ears):
    binding = declare(Token, fields=["label"], group_names=lambda self, instance: ["red"])
    token = Token.objects.create(label="x")
    assert ears.hear() == [("red", "create", str(token.pk), {"label": "x"})]
    assert binding.model_label == "bound.token"


def test_the_slight_ordering_was_given_up(binding, ears):
    binding.slight_ordering = True
    with pytest.raises(ValueError, match=r"TheBinding\.slight_ordering"):
        binding.consumer(ears.frame({}))


# --- who subscribes ---


def subscribed(ears):
    return [(frame["payload"]["action"], frame["payload"]["data"]["title"]) for frame in ears.answers()]


def joined(ears):
    return [item.group for item in ears.inbox.drain() if isinstance(item, Add)]


@pytest.fixture(params=["subscribe", "asubscribe"])
def subscribe(request, binding):
    found = getattr(binding, request.param)
    return found if request.param == "subscribe" else async_to_sync(found)


@pytest.fixture
def posts(binding, ears):
    posts = [Post.objects.create(title=title, admin_only=title == "two") for title in ("one", "two", "three")]
    joined(ears)
    return posts


def test_who_subscribes_gets_what_there_is(subscribe, posts, ears):
    subscribe(ears.frame({}), Post.objects.order_by("pk"), "admins")
    assert subscribed(ears) == [("create", "one"), ("create", "two"), ("create", "three")]


def test_what_none_of_the_groups_may_see_is_left_out(subscribe, posts, ears):
    subscribe(ears.frame({}), Post.objects.order_by("-pk"), "non-admins", "others")
    assert subscribed(ears) == [("create", "three"), ("create", "one")]


def test_groups_are_joined_before_anything_is_read(subscribe, posts, ears, monkeypatch):
    posts = Post.objects.all()
    list(posts)  # whatever was read before
    seen = []
    monkeypatch.setattr(type(ears.layer), "group_add", lambda self, group, channel: late(group))

    async def agroup_add(self, group, channel):
        from asgiref.sync import sync_to_async

        await sync_to_async(late)(group)

    def late(group):
        seen.append(group)
        Post.objects.create(title=group)

    monkeypatch.setattr(type(ears.layer), "agroup_add", agroup_add)
    subscribe(ears.frame({}), posts, "admins", "non-admins")
    assert seen == ["admins", "non-admins"]
    assert {title for _, title in subscribed(ears)} >= {"admins", "non-admins"}


def test_many_to_many_values_take_one_query(binding, posts, ears, django_assert_num_queries):
    with django_assert_num_queries(2):
        binding.subscribe(ears.frame({}), Post.objects.all(), "admins")


def test_an_empty_payload_is_not_sent(ears):
    binding = declare(serialize=lambda self, instance, action: {})
    Post.objects.create(title="one")
    binding.subscribe(ears.frame({}), Post.objects.all(), "admins")
    assert ears.answers() == []


def test_what_cannot_be_subscribed_to(subscribe, binding, ears):
    with pytest.raises(ValueError, match="name the groups"):
        subscribe(ears.frame({}), Post.objects.all())
    with pytest.raises(ValueError, match=r"bound to bound\.post, and not to bound\.tag"):
        subscribe(ears.frame({}), Tag.objects.all(), "admins")
    binding.stream = None
    with pytest.raises(ValueError, match="has no stream"):
        subscribe(ears.frame({}), Post.objects.all(), "admins")


# --- in a worker ---


@pytest.fixture
def chain_of(ears):
    """A worker with a routing, on the layer that the groups of the test are on."""
    opened = []

    def chain_of(*routing):
        chain = Chain(routing, layer=channel_layers["default"], threads=1)
        opened.append(chain)
        return chain.__enter__()

    ears.inbox.close()
    yield chain_of
    for chain in opened:
        chain.__exit__(None, None, None)


def test_behind_a_demultiplexer(chain_of):
    class IntegerValueBinding(WebsocketBinding):
        model = IntegerValue
        stream = "intval"
        fields = ["name", "value"]

        @classmethod
        def group_names(cls, instance):
            return ["intval-updates"]

        def has_permission(self, user, action, pk):
            return True

    class Demultiplexer(WebsocketDemultiplexer):
        consumers = {"intval": IntegerValueBinding.consumer}

        def connection_groups(self):
            return ["intval-updates"]

    chain = chain_of(route_class(Demultiplexer, path="^/binding/"))
    assert chain.connect("/binding/") == [{"accept": True}]

    def send(payload, order):
        text = json.dumps({"stream": "intval", "payload": payload})
        answers = chain.receive(text, "/binding/", order=order)
        return [json.loads(answer["text"]) for answer in answers]

    assert send({"action": "create", "data": {"name": "one", "value": 5}}, 1) == []
    row = IntegerValue.objects.get()
    ((group, message),) = chain.group_frames()
    assert group == "intval-updates"
    data = {"name": "one", "value": 5}
    payload = {"action": "create", "pk": row.pk, "data": data, "model": "bound.integervalue"}
    assert json.loads(message["text"]) == {"stream": "intval", "payload": payload}
    assert send({"action": "update", "pk": row.pk, "data": {"value": "x"}}, 2) == [
        {
            "stream": "intval",
            "payload": {
                "action": "update",
                "pk": row.pk,
                "model": "bound.integervalue",
                "errors": {"value": ["“x” value must be an integer."]},
            },
        }
    ]
    assert send({"action": "delete", "pk": row.pk}, 3) == []
    assert not IntegerValue.objects.exists()


def test_alone_on_a_path(chain_of):
    binding = declare(IntegerValue, fields=["name"], group_names=lambda self, instance: [])
    binding.has_permission = lambda self, user, action, pk: isinstance(user.pk, int | None)
    chain = chain_of(route("websocket.receive", binding.consumer))
    assert chain.connect() == [{"accept": True}]
    assert chain.receive(json.dumps({"action": "create", "data": {"name": "one"}})) == []
    assert IntegerValue.objects.get().name == "one"
    (answer,) = chain.receive("x", order=2)
    assert json.loads(answer["text"])["payload"]["errors"]["__all__"]


def test_what_a_consumer_saves_leaves_with_the_consumer_s_end(chain_of):
    declare(group_names=lambda self, instance: ["red"])

    def consumer(message):
        with transaction.atomic():
            Post.objects.create(title="one")
        before = len(chain.group_frames())
        message.reply_channel.send({"text": str(before)})

    chain = chain_of(route("websocket.receive", consumer))
    chain.layer.group_add("red", "websocket.send.T1!c1")
    assert chain.receive("x") == [{"text": "0"}]
    assert [group for group, _ in chain.group_frames()] == ["red"]


def test_what_a_coroutine_saves_leaves_with_its_end(chain_of):
    declare(User, fields=["username"], group_names=lambda self, instance: ["red"])

    async def consumer(message):
        await User.objects.acreate(username="ada")
        await message.reply_channel.asend({"text": str(len(chain.group_frames()))})

    chain = chain_of(route("websocket.receive", consumer))
    chain.layer.group_add("red", "websocket.send.T1!c1")
    assert chain.receive("x") == [{"text": "0"}]
    assert [group for group, _ in chain.group_frames()] == ["red"]


@pytest.mark.parametrize("flag", ["channel_session", "channel_session_user"])
def test_the_message_gets_a_session_and_a_user(chain_of, flag):
    seen = []

    def has_permission(self, user, action, pk):
        seen.append((str(user), hasattr(self.message, "channel_session")))
        return False

    flags = {"channel_session_user": False, "channel_session": False, flag: True}
    binding = declare(has_permission=has_permission, **flags)
    chain_of(route("websocket.receive", binding.consumer)).receive('{"action": "create"}')
    assert seen == [("AnonymousUser", True)]
