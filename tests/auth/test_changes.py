"""What a logout, a login, a new password and the end of an account do to sockets, seen by real browsers' sockets."""

import contextlib
from types import SimpleNamespace

import pytest
from django.contrib.auth import logout
from django.contrib.auth.models import AbstractUser, User
from django.db import IntegrityError, connections, models, transaction

from fairway import channel_layers
from fairway.auth import changes, disconnect_user, http_session_user
from fairway.auth.acting import ConnectionSession, Login
from fairway.auth.logins import user_group
from fairway.broker.effects import GroupFrame
from fairway.consumers import WebsocketConsumer
from fairway.errors import LayerUnavailable
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from tests.auth.live import Browser, ask, how_closed, serving
from tests.support.chain import CLIENT, SOCKETS
from tests.support.hubs import HubThread
from tests.support.waiting import wait_until


class Who(WebsocketConsumer):
    """Says who is there; "password:x" sets theirs."""

    http_user = True

    def receive(self, text=None, **kwargs):
        user = self.message.user
        if text.startswith("password:"):
            user.set_password(text.partition(":")[2])
            user.save()
        elif text == "logout":
            logout(SimpleNamespace(session=self.message.channel_session, user=user))
        self.send(user.username or "nobody")
        if text == "kick":
            disconnect_user(user, 4001, "kicked")


class Remembers(Who):
    http_user_and_session = True

    def receive(self, text=None, **kwargs):
        session = self.message.http_session
        self.send(f"{self.message.user.username or 'nobody'} {session.get('visited')}")


class HttpOnly(WebsocketConsumer):
    """Knows the user at the connect only."""

    def get_handler(self, message, **kwargs):
        handler = super().get_handler(message, **kwargs)
        return http_session_user(handler) if message.channel_name == "websocket.connect" else handler

    def receive(self, text=None, **kwargs):
        self.send(text)


class AsyncWho(WebsocketConsumer):
    http_user = True

    async def connect(self, message, **kwargs):
        message.reply_channel.send({"accept": True})

    async def receive(self, text=None, **kwargs):
        user = self.message.user
        if text == "password":
            user.set_password("new")
            await user.asave()
        self.send(user.username or "nobody")


channel_routing = [
    Who.as_route(path="^/who/"),
    Remembers.as_route(path="^/remembers/"),
    AsyncWho.as_route(path="^/awho/"),
    HttpOnly.as_route(path="^/http-only/"),
]

MOVED = {"how": "update", "password": "new"}


@pytest.fixture
def port(settings, transactional_db):
    for name in ("ada", "bob"):
        User.objects.create_user(name, password="secret")
    with serving(settings, f"{__name__}.channel_routing") as port:
        yield port


@pytest.fixture
def browser(port):
    return lambda: Browser(port)


def ada():
    return User.objects.get(username="ada")


ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_of_sessions(engine, request, settings, tmp_path, transactional_db):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    browser = request.getfixturevalue("browser")
    laptop, phone = browser().login("ada"), browser().login("ada")
    phone.post("visit")  # in signed cookies two sessions are one as long as they hold the same
    with laptop.open() as one, phone.open() as other:
        laptop.post("password", **MOVED)
        assert how_closed(other) == (1008, "password changed")
        assert ask(one) == "ada"
        laptop.post("visit")
        laptop.post("logout")
        assert how_closed(one) == (1008, "logged out")


def test_channel_sessions_in_a_django_engine(browser, settings):
    settings.CHANNEL_SESSION_ENGINE = "django.contrib.sessions.backends.db"
    settings.CHANNEL_USER_MAX_AGE = 0
    laptop = browser().login("ada")
    with laptop.open() as socket:
        laptop.post("password", **MOVED)
        assert ask(socket) == "ada"


def test_a_socket_without_a_channel_session_stays_too(browser):
    laptop = browser().login("ada")
    with laptop.open("http-only/") as socket:
        laptop.post("password", **MOVED)
        assert ask(socket, "hi") == "hi"
        laptop.post("logout")
        assert how_closed(socket) == (1008, "logged out")


def test_a_logout_of_the_connection_only_closes_nothing(browser):
    with browser().login("ada").open() as socket:
        assert [ask(socket, text) for text in ("logout", "who")] == ["ada", "nobody"]


def test_a_consumer_that_disconnects_its_user_has_answered_before(browser):
    laptop, phone = browser().login("ada"), browser().login("ada")
    with laptop.open() as one, phone.open() as two:
        assert ask(one, "kick") == "ada"
        assert [how_closed(one), how_closed(two)] == [(4001, "kicked")] * 2


def test_requests_that_another_server_runs(browser, client):
    """Django's test client, which Fairway knows nothing of, is such a server; so it knows no acting session."""
    laptop, phone = browser().login("ada"), browser().login("ada")
    client.cookies.load(laptop.cookies)
    with laptop.open() as one, phone.open() as other:
        client.post("/logout/")
        assert how_closed(one) == (1008, "logged out")
        assert ask(other) == "ada"
        client.post("/login/", {"name": "ada", "password": "secret"})
        client.post("/password/", MOVED)
        assert how_closed(other) == (1008, "password changed")


def test_another_login_at_another_server(browser, client):
    laptop = browser().login("ada")
    client.cookies.load(laptop.cookies)
    with laptop.open() as socket:
        client.post("/login/", {"name": "bob", "password": "secret"})
        assert how_closed(socket) == (1008, "logged out")


def test_a_logout_closes_the_sockets_of_its_session_and_no_other(browser):
    laptop, phone, bob = browser().login("ada"), browser().login("ada"), browser().login("bob")
    with laptop.open() as one, laptop.open("awho/") as two, phone.open() as other, bob.open() as his:
        assert [ask(socket) for socket in (one, two, other, his)] == ["ada", "ada", "ada", "bob"]
        laptop.post("logout")
        assert [how_closed(one), how_closed(two)] == [(1008, "logged out")] * 2
        assert [ask(other), ask(his)] == ["ada", "bob"]


def test_who_comes_back_after_a_logout_is_nobody(browser):
    laptop = browser().login("ada")
    before = laptop.cookies.copy()
    laptop.post("logout")
    laptop.cookies = before
    with laptop.open() as socket:
        assert ask(socket) == "nobody"


def test_a_new_password_closes_the_sockets_of_all_other_sessions(browser):
    laptop, phone, bob = browser().login("ada"), browser().login("ada"), browser().login("bob")
    with laptop.open() as one, laptop.open("awho/") as two, phone.open() as other, bob.open() as his:
        before = laptop.session_key
        assert laptop.post("password", **MOVED) == 200
        assert laptop.session_key != before
        assert how_closed(other) == (1008, "password changed")
        assert [ask(one), ask(two), ask(his)] == ["ada", "ada", "bob"]
        laptop.post("logout")
        assert [how_closed(one), how_closed(two)] == [(1008, "logged out")] * 2
        assert ask(his) == "bob"


def test_sockets_that_stay_know_their_user_and_session_without_any_cache(browser, settings):
    settings.CHANNEL_USER_MAX_AGE = 0
    laptop = browser().login("ada")
    laptop.post("visit")
    with laptop.open("remembers/") as socket:
        assert ask(socket) == "ada True"
        laptop.post("password", **MOVED)
        assert ask(socket) == "ada True"
        laptop.post("password", how="update", password="newer")
        assert ask(socket) == "ada True"


@pytest.mark.parametrize("how", ["login", "update"])
def test_views_that_change_a_password_inside_a_transaction(browser, monkeypatch, how):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    laptop, phone = browser().login("ada"), browser().login("ada")
    with laptop.open() as socket, phone.open() as other:
        laptop.post("password", how=how, password="new")
        assert how_closed(other) == (1008, "password changed")
        assert ask(socket) == "ada"
        laptop.post("logout")
        assert how_closed(socket) == (1008, "logged out")


def test_a_view_that_logs_in_again_after_a_new_password_keeps_its_sockets(browser):
    laptop, phone = browser().login("ada"), browser().login("ada")
    with laptop.open() as socket, phone.open() as other:
        laptop.post("password", how="login", password="new")
        assert how_closed(other) == (1008, "password changed")
        assert ask(socket) == "ada"


@pytest.mark.parametrize("how", ["forget", "fail"])
def test_a_session_that_does_not_outlive_its_password_change_takes_its_sockets_along(browser, how, caplog):
    laptop = browser().login("ada")
    with laptop.open() as socket:
        laptop.post("password", how=how, password="new")
        assert how_closed(socket) == (1008, "session ended")


def test_an_administrator_sets_a_password(browser):
    laptop, bob = browser().login("ada"), browser().login("bob")
    with laptop.open() as socket, bob.open() as his:
        bob.post("reset", name="ada", password="new")
        assert how_closed(socket) == (1008, "password changed")
        assert ask(his) == "bob"


@pytest.mark.parametrize(("where", "text"), [("who/", "password:new"), ("awho/", "password")])
def test_a_password_that_a_consumer_changes(browser, where, text):
    laptop, phone = browser().login("ada"), browser().login("ada")
    with laptop.open(where) as one, laptop.open() as two, phone.open() as other:
        assert ask(one, text) == "ada"
        assert how_closed(other) == (1008, "password changed")
        assert [ask(one), ask(two)] == ["ada", "ada"]


def test_another_login_in_the_same_browser_closes_what_the_first_has_opened(browser):
    laptop = browser().login("ada")
    with laptop.open() as socket:
        laptop.login("bob")
        assert how_closed(socket) == (1008, "logged out")
    with laptop.open() as socket:
        assert ask(socket) == "bob"


def test_sockets_follow_their_session_to_another_key(browser, settings):
    settings.CHANNEL_USER_MAX_AGE = 0
    laptop = browser().login("ada")
    laptop.post("visit")
    with laptop.open("remembers/") as socket:
        before = laptop.session_key
        laptop.post("cycle")
        assert laptop.session_key != before
        assert ask(socket) == "ada True"
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
        before = laptop.session_key
        laptop.post("visit")
        assert laptop.session_key != before
        assert ask(socket) == "ada True"
        laptop.post("logout")
        assert how_closed(socket) == (1008, "logged out")


@pytest.mark.parametrize(("view", "form"), [("flush", {}), ("cycle", {"how": "fail"})])
def test_a_session_that_ends_without_a_word_takes_its_sockets_along(browser, view, form):
    laptop = browser().login("ada")
    with laptop.open() as socket:
        laptop.post(view, **form)
        assert how_closed(socket) == (1008, "logged out")


def test_a_second_login_of_the_same_user_changes_nothing(browser):
    laptop = browser().login("ada")
    with laptop.open() as socket:
        laptop.login("ada")
        assert ask(socket) == "ada"
        laptop.post("logout")
        assert how_closed(socket) == (1008, "logged out")


def test_a_forged_session_key_belongs_to_nobody(browser):
    laptop, stranger = browser().login("ada"), browser()
    stranger.cookies["sessionid"] = "ä;x" * 3 + "0" * 20
    with laptop.open() as socket:
        with stranger.open() as theirs:
            assert ask(theirs) == "nobody"
            stranger.login("bob")
            stranger.post("logout")
        assert ask(socket) == "ada"


def leave(user):
    user.is_active = False
    return user


def give_new_password(user, password="new"):
    user.set_password(password)
    user.save()


def give_new_password_in_vain(user):
    with transaction.atomic():
        give_new_password(user)
        raise RuntimeError


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda user: leave(user).save(), "account deactivated"),
        (
            lambda user: setattr(user, "is_active", False) or user.save(update_fields=["is_active"]),
            "account deactivated",
        ),
        (lambda user: user.set_password("new") or user.save(update_fields=["password"]), "password changed"),
        (lambda user: user.delete(), "account deleted"),
        (lambda user: User.objects.filter(pk=user.pk).delete(), "account deleted"),
    ],
)
def test_what_happens_outside_of_requests_and_consumers_closes_all_sockets(browser, act, reason):
    laptop, phone, bob = browser().login("ada"), browser().login("ada"), browser().login("bob")
    with laptop.open() as one, phone.open() as two, bob.open() as his:
        act(ada())
        assert [how_closed(one), how_closed(two)] == [(1008, reason)] * 2
        assert ask(his) == "bob"


@pytest.mark.parametrize(
    "act",
    [
        lambda user: user.save(),
        lambda user: setattr(user, "email", "ada@example.com") or user.save(),
        lambda user: user.set_password("new") or user.save(update_fields=["last_login"]),
        lambda user: User(username="eve", is_active=False).save(),
        lambda user: User(pk=4711, username="eve", password="x").save(),
        lambda user: user.save(force_update=True),
    ],
)
def test_other_saves_close_nothing(browser, act):
    laptop = browser().login("ada")
    with laptop.open() as socket:
        act(ada())
        assert ask(socket) == "ada"


def test_a_transaction_that_is_rolled_back_closes_nothing(browser):
    laptop = browser().login("ada")
    with laptop.open() as socket:
        with pytest.raises(RuntimeError):
            give_new_password_in_vain(ada())
        assert ask(socket) == "ada"
        with transaction.atomic():
            give_new_password(ada())
        assert how_closed(socket) == (1008, "password changed")


def test_a_save_that_fails_says_nothing_to_the_next(browser):
    laptop = browser().login("ada")
    with laptop.open() as socket:
        user, before = ada(), ada().password
        user.username = "bob"
        user.set_password("new")
        with pytest.raises(IntegrityError):
            user.save()
        user.username, user.password = "ada", before
        user.save()
        assert ask(socket) == "ada"


def test_a_layer_that_cannot_be_reached_breaks_neither_save_nor_logout(transactional_db, settings, client, caplog):
    settings.INSTALLED_APPS = ["fairway", *settings.INSTALLED_APPS]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}
    user = User.objects.create_user("ada")
    channel_layers["default"].close()
    client.force_login(user)
    client.logout()
    assert client.session.get("_auth_user_id") is None
    give_new_password(user)
    pk = user.pk
    user.delete()
    for what in ("a session that was logged out", f"user {pk} (password changed)", f"user {pk} (account deleted)"):
        assert f"sockets of {what} may still be open, on the layer 'default' of CHANNEL_LAYERS" in caplog.text
    channel_layers.clear()


def members_of(user):
    with contextlib.suppress(LayerUnavailable):
        return channel_layers["default"].group_channels(user_group(user.pk))


def test_through_a_hub_and_when_it_is_gone(settings, transactional_db, tmp_path, caplog):
    User.objects.create_user("ada", password="secret")
    layer = {"BACKEND": "fairway.layers.LocalLayer", "CONFIG": {"path": str(tmp_path / "hub"), "wait": 0.1}}
    with (
        HubThread(tmp_path / "hub") as hub,
        serving(settings, f"{__name__}.channel_routing", layer) as port,
    ):
        laptop, phone = Browser(port).login("ada"), Browser(port).login("ada")
        with laptop.open() as one, phone.open() as other:
            assert laptop.post("password", **MOVED) == 200
            assert how_closed(other) == (1008, "password changed")
            assert ask(one) == "ada"
            hub.stop()
            give_new_password(ada(), "newer")
            assert ada().check_password("newer")
            assert "(password changed) may still be open, on the layer 'default'" in caplog.text
            hub.start()
            wait_until(lambda: members_of(ada()), "the server to announce its members again")
            disconnect_user(ada())
            assert how_closed(one) == (1008, "")


def test_each_layer_is_told_whatever_the_one_before_it_did(db, settings, caplog):
    user = User.objects.create_user("ada")
    settings.INSTALLED_APPS = ["fairway", *settings.INSTALLED_APPS]
    memory = {"BACKEND": "fairway.layers.MemoryLayer"}
    settings.CHANNEL_LAYERS = {"wrong": {"BACKEND": "no.such.Layer"}, "one": memory, "two": memory}
    for alias in ("one", "two"):
        channel_layers[alias].group_add(user_group(user.pk), "sink")
    readers = [channel_layers[alias].reader(["sink"]) for alias in ("one", "two")]
    pk = user.pk
    changes._on_each_layer("sockets", changes._closing(user_group(pk), "enough"))
    assert [reader.receive(5) is not None for reader in readers] == [True, True]
    assert "may still be open, on the layer 'wrong'" in caplog.text
    channel_layers.clear()


def test_a_server_that_does_not_say_who_is_whose_is_told_to_close_all(db, caplog):
    user = User.objects.create_user("ada")
    layer = MemoryLayer()
    layer.answer_timeout = 0.01
    inbox = layer.inbox([SOCKETS], lambda: None)  # and nobody answers what it is asked
    layer.group_add(user_group(user.pk), CLIENT)
    changes._close_others(Login.of(user), ConnectionSession(CLIENT, None), layer)
    closed = [item for item in inbox.drain() if isinstance(item, GroupFrame)]
    assert [(item.group, decode_message(item.body)["reason"]) for item in closed] == [
        (user_group(user.pk), "password changed")
    ]
    assert "closing all sockets of user" in caplog.text
    layer.close()


def test_a_user_who_is_gone_is_not_compared(db, settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}
    changes.connect_receivers()
    user = User.objects.create_user("ada")
    User.objects.all()._raw_delete("default")
    give_new_password(user)
    assert User.objects.get().check_password("new")


class Tokened(AbstractUser):
    class Meta:
        abstract = True

    def get_session_auth_hash(self):
        return self.token


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        (User, None, True),
        (User, ["password", "email"], True),
        (User, ["is_active"], True),
        (User, ["email"], False),
        (User, [], False),
        (Tokened, ["token"], True),
        (Tokened, ["last_login"], False),
        (object, ["email"], False),
    ],
)
def test_fields_that_may_end_a_login(model, fields, expected):
    assert changes._may_matter(model, fields) is expected


def test_without_layers_a_save_asks_nothing(db, settings, django_assert_num_queries):
    changes.connect_receivers()
    user = User.objects.create_user("ada")
    with django_assert_num_queries(1):
        give_new_password(user)


def test_models_that_derive_from_the_user_are_watched(browser):
    class Member(User):
        class Meta:
            proxy = True
            app_label = "auth"

    try:
        changes.connect_receivers()
        laptop = browser().login("ada")
        with laptop.open() as socket:
            give_new_password(Member.objects.get(username="ada"))
            assert how_closed(socket) == (1008, "password changed")
    finally:
        models.base.apps.all_models["auth"].pop("member")
        models.base.apps.clear_cache()


def test_memberships_end_with_their_sockets(browser):
    laptop = browser().login("ada")
    layer = channel_layers["default"]
    with laptop.open() as socket:
        assert len(layer.group_channels(user_group(ada().pk))) == 1
        ask(socket)
    wait_until(lambda: layer.group_channels(user_group(ada().pk)) == [])
