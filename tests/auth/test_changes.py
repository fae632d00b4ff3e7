"""What a logout, a login, a new password and the end of an account do to sockets, seen by real browsers' sockets."""

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connections, models, transaction

from fairway import channel_layers
from fairway.auth import changes
from fairway.auth.logins import user_group
from fairway.consumers import WebsocketConsumer
from tests.auth.live import Browser, ask, how_closed, serving
from tests.support.waiting import wait_until


class Who(WebsocketConsumer):
    """Says who is there; "password:x" sets theirs."""

    http_user = True

    def receive(self, text=None, **kwargs):
        user = self.message.user
        if text.startswith("password:"):
            user.set_password(text.partition(":")[2])
            user.save()
        self.send(user.username or "nobody")


class Remembers(Who):
    http_user_and_session = True

    def receive(self, text=None, **kwargs):
        session = self.message.http_session
        self.send(f"{self.message.user.username or 'nobody'} {session.get('visited')}")


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


def give_new_password(user):
    user.set_password("new")
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


def test_a_layer_that_cannot_be_reached_breaks_neither_save_nor_logout(browser, settings, caplog):
    laptop = browser().login("ada")
    with laptop.open() as socket:
        assert ask(socket) == "ada"
        channel_layers["default"].close()
        give_new_password(ada())
        assert "sockets of user" in caplog.text
        assert "(password changed) may still be open, on the layer 'default' of CHANNEL_LAYERS" in caplog.text


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
