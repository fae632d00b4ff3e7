"""Tests of the live blog, without a server: `python manage.py test`.

A `WSClient` is a browser's socket. Consumers run in the test, and what waits for a commit is sent when a client looks.
"""

from io import StringIO

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import override_settings

from fairway.errors import DenyConnection
from fairway.testing import ChannelTestCase, WSClient
from liveblog.management.commands.demo import POSTS
from liveblog.models import TEXT_LENGTH, Post

PATH = "/ws/liveblog/"


def what_happens(client):
    """Return what a client is told of posts: action and title of each, in order."""
    told = []
    while (frame := client.receive()) is not None:
        told.append((frame["payload"]["action"], frame["payload"]["data"]["title"]))
    return told


class LiveblogTests(ChannelTestCase):
    """An admin and a reader look at one open post and one hidden one."""

    @classmethod
    def setUpTestData(cls):
        """Make the users and the posts."""
        users = get_user_model().objects
        cls.ada = users.create_user("ada", is_staff=True, first_name="Ada", last_name="Lovelace")
        cls.grace = users.create_user("grace")
        cls.start = Post.objects.create(title="The start", author=cls.ada)
        cls.rumour = Post.objects.create(title="A rumour", admin_only=True)

    def open(self, user):
        """Open a socket, and return it with what it is told at first."""
        client = WSClient()
        client.force_login(user)
        client.connect(PATH)
        frames = []
        while (frame := client.receive()) is not None:
            frames.append(frame)
        return client, frames

    def ask(self, client, **payload):
        """Send a request on the stream of the posts."""
        client.send_and_consume("websocket.receive", text={"stream": "posts", "payload": payload})

    def test_a_reader_begins_with_what_readers_may_see(self):
        """The last frame says that this was all."""
        _, (post, end) = self.open(self.grace)
        self.assertEqual(post["stream"], "posts")
        self.assertEqual(post["payload"]["action"], "create")
        self.assertEqual(post["payload"]["pk"], self.start.pk)
        data = {name: post["payload"]["data"][name] for name in ("title", "admin_only", "byline")}
        self.assertEqual(data, {"title": "The start", "admin_only": False, "byline": "Ada Lovelace"})
        self.assertEqual(end, {"stream": "page", "payload": {"ready": True, "admin": False}})

    def test_an_admin_begins_with_everything(self):
        """The newest comes first."""
        _, (*posts, end) = self.open(self.ada)
        self.assertEqual([post["payload"]["data"]["title"] for post in posts], ["A rumour", "The start"])
        self.assertEqual(end["payload"], {"ready": True, "admin": True})

    def test_a_hidden_post_vanishes_for_readers_and_comes_back(self):
        """It stays for admins all the time."""
        (reader, _), (admin, _) = self.open(self.grace), self.open(self.ada)
        for admin_only, for_reader in [(True, "delete"), (False, "create")]:
            self.start.admin_only = admin_only
            self.start.save()
            self.assertEqual(what_happens(reader), [(for_reader, "The start")])
            self.assertEqual(what_happens(admin), [("update", "The start")])

    def test_readers_hear_nothing_of_what_is_hidden(self):
        """Not of its edits, and not of its end."""
        reader, _ = self.open(self.grace)
        self.rumour.title = "A loud rumour"
        self.rumour.save()
        self.rumour.delete()
        Post.objects.create(title="Another one", admin_only=True)
        self.assertEqual(what_happens(reader), [])

    def test_an_admin_writes_through_the_socket(self):
        """The author is whoever is logged in, whatever the client says."""
        (reader, _), (admin, _) = self.open(self.grace), self.open(self.ada)
        self.ask(admin, action="create", data={"title": "The finish", "author": self.grace.pk, "byline": "Grace"})
        post = Post.objects.get(title="The finish")
        self.assertEqual(post.author, self.ada)
        self.ask(admin, action="update", pk=post.pk, data={"admin_only": True, "posted": "1970-01-01T00:00:00Z"})
        self.ask(admin, action="delete", pk=post.pk)
        self.assertEqual(what_happens(reader), [("create", "The finish"), ("delete", "The finish")])
        self.assertEqual([action for action, _ in what_happens(admin)], ["create", "update", "delete"])
        self.assertEqual(Post.objects.filter(posted__year=1970).count(), 0)

    def test_what_a_reader_forges_is_ignored(self):
        """There is no answer, and nothing is changed."""
        reader, _ = self.open(self.grace)
        self.ask(reader, action="create", data={"title": "Forged"})
        self.ask(reader, action="update", pk=self.rumour.pk, data={"admin_only": False})
        self.ask(reader, action="delete", pk=self.start.pk)
        self.assertIsNone(reader.receive())
        self.assertQuerySetEqual(Post.objects.all(), [self.rumour, self.start])

    def test_what_is_wrong_is_said_beside_its_field(self):
        """A text field has no length of its own; the validator knows it."""
        admin, _ = self.open(self.ada)
        self.ask(admin, action="create", data={"title": "", "text": "x" * (TEXT_LENGTH + 1)})
        answer = admin.receive()["payload"]
        self.assertEqual(answer["action"], "create")
        self.assertEqual(sorted(answer["errors"]), ["text", "title"])
        self.assertEqual(Post.objects.count(), 2)

    def test_strangers_and_foreign_pages_are_refused(self):
        """Before the handshake completes."""
        with self.assertRaises(DenyConnection):
            WSClient().connect(PATH)
        foreign = WSClient()
        foreign.force_login(self.ada)
        foreign.set_header("origin", "https://elsewhere.example")
        with self.assertRaises(DenyConnection):
            foreign.connect(PATH)

    def test_a_logout_closes_the_socket(self):
        """With a code after which the page does not come back by itself."""
        client, _ = self.open(self.ada)
        client.logout()
        self.assertEqual(client.receive(), {"close": 1008, "reason": "logged out"})

    def test_whoever_gains_or_loses_the_rights_of_an_admin_has_to_come_again(self):
        """Other changes of a user close nothing."""
        client, _ = self.open(self.ada)
        self.ada.first_name = "Augusta"
        self.ada.save()
        self.assertIsNone(client.receive())
        self.ada.is_staff = False
        self.ada.save()
        self.assertEqual(client.receive(), {"close": 1012, "reason": "your rights have changed"})


class PostTests(ChannelTestCase):
    """The model and the command."""

    def test_a_post_without_an_author_has_an_empty_byline(self):
        """Such as one whose author was deleted."""
        self.assertEqual(Post(title="x").byline, "")
        self.assertEqual(Post(title="x", author=get_user_model()(username="ada")).byline, "ada")

    def test_a_title_is_needed(self):
        """A text is not."""
        with self.assertRaises(ValidationError) as caught:
            Post().full_clean()
        self.assertEqual(list(caught.exception.message_dict), ["title"])

    @override_settings(DEBUG=True)
    def test_the_demo_is_made_once(self):
        """A second time changes nothing."""
        for _ in range(2):
            call_command("demo", stdout=StringIO())
        self.assertEqual(Post.objects.count(), len(POSTS))
        self.assertEqual(get_user_model().objects.count(), 2)

    def test_the_demo_is_not_made_on_a_site_that_is_not_being_debugged(self):
        """Its password is known to everybody."""
        with self.assertRaises(CommandError):
            call_command("demo")
