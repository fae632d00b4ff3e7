"""System checks: each wrong setting is said before anything is served."""

import sys

import pytest
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.urls import path

from fairway import include, route, route_class
from fairway.checks import check_channel_layers, check_runserver, check_settings
from fairway.consumers import BaseConsumer, JsonWebsocketConsumer, WebsocketDemultiplexer

MEMORY = "fairway.layers.MemoryLayer"
GOOD = {"BACKEND": MEMORY, "ROUTING": []}


def consumer(message):
    """A consumer."""


def found(settings, value):
    settings.CHANNEL_LAYERS = value
    return [(message.id, message.msg) for message in check_channel_layers()]


@pytest.mark.parametrize("value", [None, {}, {"default": GOOD}, {"a": GOOD, "b": {"URL": "memory://", "ROUTING": {}}}])
def test_nothing_is_wrong(settings, value):
    assert found(settings, value) == []


@pytest.mark.parametrize(
    ("value", "id_", "says"),
    [
        (["default"], "E001", "is a dict of alias to settings"),
        ({"a": "memory://"}, "E001", "CHANNEL_LAYERS['a'] is a dict"),
        ({"a": {**GOOD, "ROUTES": []}}, "E001", "'ROUTING' is meant"),
        ({"a": {**GOOD, "URL": "memory://"}}, "E001", "keep one of the two"),
        ({"a": {"ROUTING": []}}, "E001", "['BACKEND']"),
        ({"a": {**GOOD, "BACKEND": "no.such.Layer"}}, "E002", "cannot be imported"),
        ({"a": {**GOOD, "CONFIG": {"x": 1}}}, "E002", "refused by the backend"),
        ({"a": {"BACKEND": MEMORY}}, "E003", "['ROUTING'] is missing"),
        ({"a": {"BACKEND": MEMORY, "ROUTING": "no.such.routing"}}, "E004", "cannot be imported"),
        ({"a": {"BACKEND": MEMORY, "ROUTING": [5]}}, "E004", "a routing holds"),
        ({"a": {"BACKEND": MEMORY, "ROUTING": {"x": "no.consumer"}}}, "E004", "cannot be imported"),
        ({"a": {"BACKEND": MEMORY, "ROUTING": {"a b": consumer}}}, "E005", "'a b' is no channel name"),
        ({"a": {"BACKEND": MEMORY, "ROUTING": {"a!b": consumer}}}, "E005", "names one connection"),
        ({"a": {"BACKEND": MEMORY, "ROUTING": {"fairway.dead": consumer}}}, "E005", "reserved"),
    ],
)
def test_what_is_wrong(settings, value, id_, says):
    ((found_id, text),) = found(settings, value)

    assert found_id == f"fairway.{id_}"
    assert says in text
    assert "CHANNEL_LAYERS" in text


@pytest.mark.parametrize(
    ("channel", "hint"),
    [
        ("websocket.recieve", "Is 'websocket.receive' meant?"),
        ("http.zzz", "They are websocket.connect, "),
        ("http.disconnect", None),
        ("work", None),
    ],
)
def test_a_channel_that_no_server_sends_on(settings, channel, hint):
    settings.CHANNEL_LAYERS = {"a": {"BACKEND": MEMORY, "ROUTING": {channel: consumer}}}
    warnings = check_channel_layers()

    assert [warning.id for warning in warnings] == (["fairway.W003"] if hint else [])
    assert all(repr(channel) in warning.msg and warning.hint.startswith(hint) for warning in warnings)


def test_all_aliases_are_checked(settings):
    routing = [route(["a b", "ok", "c d"], consumer)]

    assert [id_ for id_, _ in found(settings, {"a": {}, "b": {"BACKEND": "x.y", "ROUTING": routing}})] == [
        "fairway.E001",
        "fairway.E002",
        "fairway.E005",
        "fairway.E005",
    ]


def test_djangos_command_runs_them(settings, db):
    settings.CHANNEL_LAYERS = {"a": {}}

    with pytest.raises(SystemCheckError, match=r"fairway\.E001"):
        call_command("check")


# --- runserver -------------------------------------------------------------------------------------------------------


def test_staticfiles_must_not_hide_runserver(settings):
    settings.CHANNEL_LAYERS = {"default": GOOD}
    others = ["django.contrib.contenttypes", "django.contrib.auth"]

    for apps, expected in (
        (["fairway", "django.contrib.staticfiles"], []),
        (["django.contrib.staticfiles", "fairway"], ["fairway.W001"]),
        (["fairway"], []),
    ):
        settings.INSTALLED_APPS = [*apps, *others]
        assert [message.id for message in check_runserver()] == expected


def test_a_server_that_is_not_installed(settings, monkeypatch):
    settings.CHANNEL_LAYERS = {"default": GOOD}
    monkeypatch.delitem(sys.modules, "fairway.server", raising=False)
    monkeypatch.setitem(sys.modules, "fairway.server.listener", None)

    (warning,) = check_runserver()
    assert warning.id == "fairway.W002"
    assert "pip install 'fairway[server]'" in warning.msg


def test_plain_django_is_left_alone(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "fairway.server", None)

    assert check_runserver() == []


def test_they_are_registered():
    registered = checks.registry.registry.get_checks()

    assert check_channel_layers in registered
    assert check_runserver in registered
    assert check_settings in registered


def test_settings_that_nobody_has_set_are_fine():
    assert check_settings() == []


@pytest.mark.parametrize(
    ("setting", "value", "id_", "says"),
    [
        ("CHANNEL_SESSION_ENGINE", "no.such.engine", "E006", "names no session engine"),
        ("CHANNEL_SESSION_ENGINE", "django.contrib.sessions.backends.signed_cookies", "E006", "cannot set one"),
        ("CHANNEL_USER_MAX_AGE", "5", "E007", "is a number of seconds"),
        ("CHANNEL_SEND_ON_COMMIT", "yes", "E008", "is True or False, not 'yes'"),
        ("CHANNEL_SEND_ON_COMMIT", 1, "E008", "is True or False, not 1"),
        ("WEBSOCKET_ACCEPT_ALL", "yes", "E010", "is True or False, not 'yes'"),
    ],
)
def test_what_is_wrong_with_them(settings, setting, value, id_, says):
    setattr(settings, setting, value)
    (error,) = check_settings()
    assert error.id == f"fairway.{id_}"
    assert setting in error.msg
    assert says in error.msg


class Ported(JsonWebsocketConsumer):
    def receive_json(self, content):
        """What Channels 4 would call."""


class Streams(WebsocketDemultiplexer):
    consumers = {"old": Ported}


class Own(BaseConsumer):
    method_mapping = {"work": "receive_json"}

    def receive_json(self, message):
        """What the mapping calls."""


@pytest.mark.parametrize(
    "routing",
    [
        [route_class(Ported), Ported.as_route(path="^/x")],
        [include([route_class(Ported)], path="^/x")],
        [path("x/", Ported)],
        [path("x/", include([route_class(Ported)]))],
        [route_class(Streams)],
    ],
)
def test_a_method_of_channels_4_is_never_called(settings, routing):
    (warning,) = found(settings, {"default": {**GOOD, "ROUTING": routing}})
    assert warning == (
        "fairway.W004",
        "tests.test_checks.Ported.receive_json() is never called: it is a method of Channels 4.",
    )


def test_a_method_of_that_name_that_is_called_is_fine(settings):
    assert found(settings, {"default": {**GOOD, "ROUTING": [route_class(Own), route("x", consumer)]}}) == []
