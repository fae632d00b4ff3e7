"""Real server, workers, sockets, and a database in a file: who subscribes while others edit misses nothing."""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from django.db import connection, connections, transaction
from websockets.sync.client import connect

from fairway import route_class
from fairway.application import DjangoApplication
from fairway.binding import WebsocketBinding
from fairway.binding.fields import field_values
from fairway.conf import channel_layers
from fairway.consumers import WebsocketDemultiplexer
from fairway.routing import Router
from tests.support.bound.models import PinnedPost, Post, Reading, Tag
from tests.support.serving import serving
from tests.support.waiting import wait_until

EDITORS = 2
EDITS = 40
CLIENTS = 8


@pytest.fixture
def database(tmp_path, django_db_setup, django_db_blocker):
    """A database that several threads write to, with the tables of the posts."""
    options = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
    }
    before = connections.settings["default"]
    with django_db_blocker.unblock():
        kept = connections["default"]
        connections.settings["default"] = {**before, "NAME": str(tmp_path / "posts.sqlite3"), "OPTIONS": options}
        del connections["default"]
        with connection.schema_editor() as editor:
            for model in (Tag, Post, PinnedPost, Reading):
                editor.create_model(model)
        yield
        connection.close()
        connections.settings["default"] = before
        connections["default"] = kept


@pytest.fixture
def binding():
    class PostBinding(WebsocketBinding):
        model = Post
        stream = "posts"
        fields = ["title", "room", "tags"]
        channel_session_user = False

        def group_names(self, instance):
            return ["admins"] if instance.admin_only else ["admins", "non-admins"]

    return PostBinding


@pytest.fixture
def port(database, binding, settings):
    class Demultiplexer(WebsocketDemultiplexer):
        consumers = {"posts": binding.consumer}

    class AtOnce(Demultiplexer):
        """Subscribes while it connects."""

        def connect(self, message, **kwargs):
            super().connect(message, **kwargs)
            binding.subscribe(message, Post.objects.all(), "non-admins")

    class OnDemand(Demultiplexer):
        """Subscribes when the client asks for it."""

        def receive(self, content, **kwargs):
            binding.subscribe(self.message, Post.objects.all(), content["subscribe"])

    class ACoroutine(Demultiplexer):
        async def receive(self, content, **kwargs):
            await binding.asubscribe(self.message, Post.objects.all(), content["subscribe"])

    routing = [
        route_class(AtOnce, path="^/at-once/"),
        route_class(OnDemand, path="^/on-demand/"),
        route_class(ACoroutine, path="^/coroutine/"),
    ]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}
    layer = channel_layers["default"]
    with serving(layer, DjangoApplication(layer, Router(routing))) as port:
        yield port
    channel_layers.clear()


class Client:
    """A browser that keeps what it was told of."""

    def __init__(self, port, path, group):
        self.group = group
        self.held = {}
        self._opening = connect(f"ws://127.0.0.1:{port}/{path}/")
        self._asks = path != "at-once"

    def __enter__(self):
        self.socket = self._opening.__enter__()
        if self._asks:
            self.socket.send(json.dumps({"subscribe": self.group}))
        return self

    def __exit__(self, *error):
        self._opening.__exit__(*error)

    def listen(self, timeout):
        """Apply the next frame, if one comes."""
        try:
            payload = json.loads(self.socket.recv(timeout))["payload"]
        except TimeoutError:
            return
        if payload["action"] == "delete":
            self.held.pop(payload["pk"], None)
        else:
            self.held[payload["pk"]] = payload["data"]

    def holds(self, expected):
        if self.held != expected:
            self.listen(0.05)
        return self.held == expected


def edit(number, binding):
    """Edit rows of one's own: created, hidden, shown, tagged and deleted, with and without a transaction."""
    dice = random.Random(number)
    tag = Tag.objects.create(name=f"t{number}")
    mine = [Post.objects.create(title=f"{number}") for _ in range(3)]
    for step in range(EDITS):
        post = dice.choice(mine)
        post.title = f"{number}.{step}"
        post.admin_only = dice.random() < 0.3
        with transaction.atomic():
            post.save()
            dice.choice([post.tags.add, post.tags.remove])(tag)
        if dice.random() < 0.2:
            mine.remove(post)
            post.delete()
            mine.append(Post.objects.create(title=f"{number}.{step}", admin_only=dice.random() < 0.3))
    connections.close_all()


def visible(binding, group):
    posts = Post.objects.all() if group == "admins" else Post.objects.filter(admin_only=False)
    return {post.pk: field_values(post, binding.bound_to(Post)) for post in posts}


def test_clients_that_subscribe_while_others_edit_miss_nothing(port, binding):
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(EDITORS))
        editors = [pool.submit(edit, number, binding) for number in range(EDITORS)]
        clients = []
        for number in range(CLIENTS):
            wait_until(lambda: Post.objects.count() >= 2, "the first posts")
            path = ("on-demand", "coroutine")[number % 2]
            group = ("admins", "non-admins")[number // 2 % 2]
            clients.append(stack.enter_context(Client(port, path, group)))
            for client in clients:
                client.listen(0.01)
        assert not all(editor.done() for editor in editors), "the editors were too fast to test anything"
        for editor in editors:
            editor.result(50)
        for client in clients:
            expected = visible(binding, client.group)
            wait_until(lambda client=client, expected=expected: client.holds(expected), "what a client may see")


@pytest.mark.parametrize("path", ["at-once", "on-demand", "coroutine"])
def test_a_change_in_the_middle_of_a_snapshot_arrives_after_it(port, binding, path):
    posts = [Post.objects.create(title=title) for title in ("one", "two")]
    edited = threading.Event()

    def edit():
        post = Post.objects.get(pk=posts[0].pk)
        post.title = "edited"
        post.save()
        connections.close_all()

    def serialize(self, instance, action):
        if action == "create" and not edited.is_set():
            edited.set()
            editor = threading.Thread(target=edit)
            editor.start()
            editor.join()
        return WebsocketBinding.serialize(self, instance, action)

    binding.serialize = serialize
    with Client(port, path, "non-admins") as client:
        payloads = [json.loads(client.socket.recv(30))["payload"] for _ in range(3)]
    assert [(payload["action"], payload["data"]["title"]) for payload in payloads] == [
        ("create", "one"),
        ("create", "two"),
        ("update", "edited"),
    ]
