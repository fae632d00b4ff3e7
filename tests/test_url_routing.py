"""Django's own patterns as routing for WebSockets."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import include as django_include
from django.urls import path, re_path
from django.views import View

from fairway.message import Message
from fairway.routing import Router, include, route
from fairway.url_routing import PathEntry
from tests.test_routing import Chat, one, two


def match(routing, channel, where):
    return Router(routing).match(Message({"path": where}, channel, None))


def test_converters_give_the_arguments():
    routing = [path("ws/<slug:room>/<int:page>/", one, {"extra": True})]

    assert match(routing, "websocket.connect", "/ws/lobby/7/") == (one, {"room": "lobby", "page": 7, "extra": True})
    assert match(routing, "websocket.connect", "/ws/lobby/x/") is None
    assert match(routing, "websocket.connect", "/ws/lobby/7") is None


def test_regular_expressions():
    routing = [re_path(r"^ws/(?P<room>\w+)/$", one)]

    assert match(routing, "websocket.receive", "/ws/lobby/") == (one, {"room": "lobby"})


def test_a_function_gets_what_happens_to_a_socket():
    router = Router([path("ws/", one)])

    assert router.channels == {"websocket.connect", "websocket.receive", "websocket.disconnect"}
    assert match([path("ws/", one)], "websocket.event", "/ws/") is None


def test_a_class_gets_the_channels_it_names():
    routing = [path("ws/<room>/", Chat), path("ws/<room>/", one)]

    assert match(routing, "websocket.receive", "/ws/a/") == (Chat, {"room": "a"})
    assert match(routing, "websocket.disconnect", "/ws/a/") == (one, {"room": "a"})
    assert Router(routing[:1]).channels == Chat.channel_names()


def test_an_include_routes_by_channel():
    inner = [route("websocket.connect", one, path=".*/(?P<room>b)/"), route("websocket.receive", two)]
    routing = [path("ws/<room>/", include(inner))]

    assert match(routing, "websocket.connect", "/ws/b/") == (one, {"room": "b"})
    assert match(routing, "websocket.receive", "/ws/a/") == (two, {"room": "a"})
    assert match(routing, "websocket.connect", "/ws/a/") is None
    assert Router(routing).channels == {"websocket.connect", "websocket.receive"}


def test_a_single_route_is_a_target_too():
    assert match([path("ws/", route("websocket.receive", one))], "websocket.receive", "/ws/") == (one, {})


def test_djangos_include_nests_patterns():
    routing = [path("ws/<lang>/", django_include([path("a/", one), path("b/<int:n>/", include([route("x", two)]))]))]

    assert match(routing, "websocket.connect", "/ws/de/a/") == (one, {"lang": "de"})
    assert match(routing, "x", "/ws/de/b/5/") == (two, {"lang": "de", "n": 5})
    assert match(routing, "x", "/ws/de/c/") is None
    assert Router(routing).channels == {"websocket.connect", "websocket.receive", "websocket.disconnect", "x"}


def test_patterns_inside_an_include_see_what_is_left_of_the_path():
    assert match([include([path("x/", one)], path="^/ws")], "websocket.connect", "/ws/x/") == (one, {})


def test_where_the_project_is_mounted(settings):
    settings.FORCE_SCRIPT_NAME = "/shop"

    assert match([path("ws/", one)], "websocket.connect", "/shop/ws/") == (one, {})
    assert match([path("ping/", one)], "websocket.connect", "/shopping/") is None


def test_a_path_that_is_no_text_does_not_match():
    assert match([path("", one)], "websocket.connect", None) is None
    assert match([path("", one)], "websocket.connect", "/") == (one, {})


@pytest.mark.parametrize("view", [View.as_view()])
def test_a_view_is_no_consumer(view):
    with pytest.raises(ImproperlyConfigured, match="is a Django view"):
        Router([path("ws/", view)])


def test_a_generator_is_no_consumer():
    def consumer(message):
        yield

    with pytest.raises(ImproperlyConfigured, match="has a yield"):
        Router([path("x/", consumer)])


def test_a_pattern_can_be_read():
    assert str(PathEntry(path("ws/<room>/", one))) == "path ws/<room>/"


def test_covering():
    router = Router([path("ws/", one)])

    assert router.covers(Message({"path": "/ws/"}, "websocket.receive", None))
    assert not router.covers(Message({"path": "/x/"}, "websocket.receive", None))
    assert not router.covers(Message({"path": "/ws/"}, "websocket.event", None))
