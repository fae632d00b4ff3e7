import pytest
from django.contrib.auth import get_user_model
from django.http import parse_cookie

from fairway.auth import channel_session_user, channel_session_user_from_http, http_session_user
from fairway.routing import route
from fairway.testing import WSClient, apply_routes
from tests.testing.support import fresh_layers

__all__ = ["fresh_layers"]


def cookie_header(client):
    return next((value for name, value in client.headers if name == b"cookie"), b"").decode()


def test_cookies_come_back_from_the_header_as_they_were_set():
    client = WSClient()
    client.set_cookie("plain", "x")
    client.set_cookie("odd", 'a;b "c" ä,=')
    assert parse_cookie(cookie_header(client)) == client.get_cookies() == {"plain": "x", "odd": 'a;b "c" ä,='}


def test_the_cookie_header_is_not_set_by_hand():
    with pytest.raises(ValueError, match="use set_cookie"):
        WSClient().set_header("Cookie", "a=b")


def test_a_header_can_be_left_out():
    client = WSClient()
    client.set_header("origin", None)
    assert client.headers == [[b"host", b"testserver"]]


@pytest.mark.django_db
def test_the_session_is_saved_and_its_key_is_a_cookie():
    client = WSClient()
    assert client.get_cookies() == {}
    client.session["a"] = 1
    assert parse_cookie(cookie_header(client)) == {"sessionid": client.session.session_key}
    assert type(client.session)(client.session.session_key)["a"] == 1


def test_without_the_sessions_app_there_is_no_session(settings):
    settings.INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
    with pytest.raises(OSError, match=r"lacks 'django.contrib.sessions'"):
        _ = WSClient().session


@channel_session_user_from_http
def connect(message):
    message.reply_channel.send({"accept": True})


@channel_session_user
def receive(message):
    message.reply_channel.send({"text": f'"{message.user.username}"'})


ROUTES = [route("websocket.connect", connect), route("websocket.receive", receive)]


def name_of(client):
    with apply_routes(ROUTES):
        client.connect()
        client.send_and_consume("websocket.receive")
    return client.receive()


@pytest.mark.django_db
def test_who_is_logged_in_by_force_is_the_user_of_the_socket():
    client = WSClient()
    client.force_login(get_user_model().objects.create_user("ann"))
    assert name_of(client) == "ann"


@pytest.mark.django_db
def test_credentials_are_checked():
    get_user_model().objects.create_user("ann", password="right")
    client = WSClient()
    assert client.login(username="ann", password="wrong") is False
    assert name_of(client) == ""
    assert client.login(username="ann", password="right") is True
    assert name_of(client) == "ann"


@pytest.mark.django_db
def test_after_a_logout_nobody_is_logged_in():
    client = WSClient()
    client.force_login(get_user_model().objects.create_user("ann"))
    client.logout()
    assert client.get_cookies() == {}
    assert name_of(client) == ""


@pytest.mark.django_db
def test_a_consumer_sees_a_user_as_the_test_has_just_saved_it():
    user = get_user_model().objects.create_user("ann")
    client = WSClient()
    client.force_login(user)
    assert name_of(client) == "ann"
    get_user_model().objects.update(username="bea")
    with apply_routes(ROUTES):
        client.send_and_consume("websocket.receive")
    assert client.receive() == "bea"


@pytest.mark.django_db
def test_a_decorator_for_http_sessions_sees_the_cookie():
    @http_session_user
    def hello(message):
        message.reply_channel.send({"accept": True, "text": f'"{message.user.username}"'})

    client = WSClient()
    client.force_login(get_user_model().objects.create_user("ann"))
    with apply_routes(route("websocket.connect", hello)):
        client.connect()
    assert client.receive() == "ann"
