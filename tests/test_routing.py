"""Routing: by channel, by filters, and nested."""

import re

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from fairway.message import Message
from fairway.routing import Include, Route, RouteClass, Router, describe_consumer, include, route, route_class


class Counted:
    """A pattern that counts how often it is asked."""

    def __init__(self, pattern):
        self.pattern = re.compile(pattern)
        self.groups = self.pattern.groups
        self.count = 0

    def match(self, text):
        self.count += 1
        return self.pattern.match(text)


def one(message, **kwargs):
    """A consumer."""


def two(message, **kwargs):
    """Another."""


class Chat:
    """A class-based consumer, as far as routing knows."""

    def __init__(self, message, **kwargs):
        pass

    @classmethod
    def channel_names(cls):
        return {"websocket.receive", "websocket.connect"}


a_list = [route("a", one)]
a_dict = {"a": one, b"b": "tests.test_routing.two"}


def message_on(channel, **content):
    return Message(content, channel, None)


def match(routing, channel, **content):
    return Router(routing).match(message_on(channel, **content))


# --- route -----------------------------------------------------------------------------------------------------------


def test_by_channel():
    routing = [route("a", one), route(["b", b"c"], two)]

    assert match(routing, "a") == (one, {})
    assert match(routing, "b") == match(routing, "c") == (two, {})
    assert match(routing, "d") is None
    assert Router(routing).channels == {"a", "b", "c"}


def test_the_first_match_wins():
    assert match([route("a", one), route("a", two)], "a") == (one, {})


def test_all_filters_must_match():
    routing = [route("a", one, path=r"^/x", method="GET"), route("a", two)]

    assert match(routing, "a", path="/x/y", method="GET") == (one, {})
    assert match(routing, "a", path="/y", method="GET") == (two, {})
    assert match(routing, "a", path="/x") == (two, {})


def test_named_groups_become_arguments():
    routing = [route("a", one, path=r"^/(?P<room>\w+)/(?P<page>\d+)?$", method=r"(?P<verb>.*)")]

    assert match(routing, "a", path="/lobby/7", method="GET") == (one, {"room": "lobby", "page": "7", "verb": "GET"})
    assert match(routing, "a", path="/lobby/", method="")[1]["page"] is None


def test_a_filter_is_anchored_at_the_start_only():
    assert match([route("a", one, path="/x")], "a", path="/x/y")
    assert not match([route("a", one, path="/x$")], "a", path="/x/y")
    assert not match([route("a", one, path="/y")], "a", path="/x/y")


@pytest.mark.parametrize("pattern", ["/x", b"/x"])
@pytest.mark.parametrize("value", ["/x", b"/x"])
def test_bytes_and_text_mix(pattern, value):
    assert match([route("a", one, path=pattern)], "a", path=value)


@pytest.mark.parametrize("value", [None, 5, True, ["/x"], {"a": 1}, b"\xff"])
def test_a_value_that_is_no_text_does_not_match(value):
    assert not match([route("a", one, path="")], "a", path=value)
    assert not match([include(a_list, path="")], "a", path=value)


def test_a_group_without_a_name_is_an_error():
    with pytest.raises(ValueError, match=r"path='\^/\(a\)' has a group without a name"):
        route("a", one, path="^/(a)")


@pytest.mark.parametrize(
    "make", [lambda: route("a", one, path="("), lambda: include([], path="("), lambda: route("a", one, path=3)]
)
def test_a_filter_that_is_no_regular_expression_is_named(make):
    with pytest.raises(ValueError, match=r"the filter path=('\('|3) is no regular expression: "):
        make()


@pytest.mark.parametrize("channels", [5, None, ["a", 5]])
def test_channels_have_names(channels):
    with pytest.raises(ImproperlyConfigured, match="a route takes the name of a channel or a list of names"):
        route(channels, one)


def test_an_import_that_fails_further_in_says_where(tmp_path, monkeypatch):
    (tmp_path / "routing_with_a_fault.py").write_text("import os\nimport not_there\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ImproperlyConfigured, match=r"'not_there' \(.*routing_with_a_fault\.py, line 2\)$"):
        Router("routing_with_a_fault.channel_routing")
    with pytest.raises(ImproperlyConfigured, match=r"No module named 'not_there'$"):
        Router("not_there.channel_routing")


@pytest.mark.parametrize("consumer", ["tests.test_routing.none", "no.such.module", "nodots"])
def test_a_wrong_consumer_path_is_an_error_at_once(consumer):
    with pytest.raises(ImproperlyConfigured, match=consumer):
        route("a", consumer)


def test_a_consumer_is_callable():
    with pytest.raises(ImproperlyConfigured, match="callable or its dotted path"):
        route("a", 5)


def generator(message):
    yield


async def agenerator(message):
    yield


@pytest.mark.parametrize("consumer", [generator, agenerator, "tests.test_routing.generator"])
def test_a_consumer_that_would_never_run(consumer):
    with pytest.raises(ImproperlyConfigured, match=r"generator at .* has a yield"):
        route("a", consumer)


def test_a_route_can_be_read():
    assert str(route(["a", "b"], "tests.test_routing.one", path="^/x")) == "a/b (path=^/x) -> tests.test_routing.one"
    assert str(route("a", Chat)) == "a -> tests.test_routing.Chat"
    entry = Route("a", one, path="x")
    assert (entry.channels, entry.consumer, entry.filters["path"].pattern) == (["a"], one, "x")


def test_a_route_alone_looks_at_the_channel_too():
    assert route("a", one).match(message_on("b")) is None


def test_describing_a_consumer_never_fails():
    assert describe_consumer(Chat(None)) == "tests.test_routing.Chat"
    assert describe_consumer(Chat(None).channel_names) == "tests.test_routing.Chat.channel_names"


# --- route_class -----------------------------------------------------------------------------------------------------


def test_a_class_names_its_channels():
    routing = [route_class("tests.test_routing.Chat", path="^/(?P<room>.*)")]

    assert match(routing, "websocket.connect", path="/a") == (Chat, {"room": "a"})
    assert Router(routing).channels == {"websocket.connect", "websocket.receive"}
    assert isinstance(routing[0], RouteClass)


def test_a_class_without_channels_is_an_error():
    with pytest.raises(ValueError, match="no channel_names"):
        route_class(one)


# --- include ---------------------------------------------------------------------------------------------------------


def test_the_matched_part_is_cut_off():
    inner = [route("a", one, path=r"^/x$"), route("a", two)]
    routing = [include(inner, path=r"^/blog", method="P(?P<kind>.)")]
    message = message_on("a", path="/blog/x", method="PUT", other=1)

    assert Router(routing).match(message) == (one, {"kind": "U"})
    assert message.content == {"path": "/blog/x", "method": "PUT", "other": 1}
    assert match(routing, "a", path="/news/x", method="PUT") is None
    assert match(routing, "a", path="/blog/y", method="POST") == (two, {"kind": "O"})


def test_includes_nest_and_inner_arguments_win():
    innermost = [route("a", one, path=r"^/(?P<page>\w+)$")]
    routing = [include([include(innermost, path="^/(?P<page>in)(?P<b>x?)")], path="^/(?P<page>out)(?P<a>y?)")]

    assert match(routing, "a", path="/out/in/last") == (one, {"page": "last", "a": "", "b": ""})


def test_include_without_prefixes():
    assert match([include(a_list)], "a") == (one, {})
    assert include(a_list).channel_names() == {"a"}
    assert str(include(a_list)) == "include of 1 entries"
    assert str(Include(a_list, path="^/x")) == "include of 1 entries (path=^/x)"


# --- routings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "routing", [a_list, a_dict, "tests.test_routing.a_list", "tests.test_routing.a_dict", tuple(a_list)]
)
def test_kinds_of_routing(routing):
    assert match(routing, "a") == (one, {})
    assert match([include(routing)], "a") == (one, {})


def test_a_dict_may_hold_paths():
    assert match(a_dict, "b") == (two, {})


@pytest.mark.parametrize("routing", ["no.such.module", "tests.test_routing.none", "tests.test_routing.one", 5, None])
def test_a_wrong_routing(routing):
    with pytest.raises(ImproperlyConfigured):
        Router(routing)


@pytest.mark.parametrize("entry", [one, "text", None, {"a": one}])
def test_a_wrong_entry(entry):
    with pytest.raises(ImproperlyConfigured, match="a routing holds"):
        Router([entry])


def test_an_entry_of_ones_own():
    class Mine:
        def match(self, message):
            return (one, {"mine": True}) if message.get("mine") else None

        def channel_names(self):
            return {"a"}

    routing = [include([Mine()]), route("a", two)]
    assert match(routing, "a", mine=1) == (one, {"mine": True})
    assert match(routing, "a") == (two, {})
    assert Router(routing).covers(message_on("a", mine=1))


def test_adding_a_route():
    routing = [route("a", one)]
    router = Router(routing)
    router.add_route(route(["a", "b"], two))

    assert router.channels == {"a", "b"}
    assert router.match(message_on("a")) == (one, {})
    assert router.match(message_on("b")) == (two, {})
    assert len(routing) == 2
    assert router.root.routing is routing


def test_a_path_is_looked_up_once():
    pattern = Counted(r"^/(?P<room>\w+)/")
    entry = route("a", one)
    entry.filters = {"path": pattern}
    router = Router([include([entry])])
    found = [router.match(message_on("a", path="/blue/")) for _ in range(3)]
    assert found == [(one, {"room": "blue"})] * 3
    assert pattern.count == 1
    found[0][1]["room"] = "red"
    assert router.match(message_on("a", path="/blue/")) == (one, {"room": "blue"})
    assert [router.match(message_on("a", path=b"/blue/")) for _ in range(2)] == [(one, {"room": "blue"})] * 2
    assert pattern.count == 3


def test_what_leads_nowhere_is_remembered_as_well_and_all_of_it_is_bounded():
    router = Router([route("a", one, path="^/x")])
    for number in range(3000):
        assert router.match(message_on("a", path=f"/{number}")) is None
    assert router.match(message_on("a", path="/x" * 1000)) == (one, {})
    assert len(router._known) <= 1024


@pytest.mark.parametrize(
    "routing",
    [
        [route("a", one, path="^/x", text="^yes"), route("a", two)],
        [include([route("a", one)], text="^yes"), route("a", two)],
        [include([route("a", one, text="^yes")]), route("a", two)],
    ],
)
def test_a_path_is_not_remembered_where_something_else_matters(routing):
    router = Router(routing)
    assert router.match(message_on("a", path="/x", text="no")) == (two, {})
    assert router.match(message_on("a", path="/x", text="yes")) == (one, {})
    assert router.match(message_on("a", path="/x", text="no")) == (two, {})


def test_a_path_that_is_known_is_forgotten_when_a_route_is_added():
    router = Router([route("a", one, path="^/x")])
    assert router.match(message_on("a", path="/y")) is None
    router.add_route(route("a", two))
    assert router.match(message_on("a", path="/y")) == (two, {})


def test_an_entry_is_no_view():
    with pytest.raises(TypeError, match="belongs into ROUTING"):
        route("a", one)(None)


# --- covers: could a later message of this path match? ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("routing", "covered"),
    [
        ([route("a", one, path="^/x")], True),
        ([route("a", one, path="^/x", text="^hello")], True),
        ([route("a", one, path="^/y")], False),
        ([route("b", one, path="^/x")], False),
        ([include([route("a", one, path="^$")], path="^/x", text="yes")], True),
        ([include([route("a", one, path="^/deep")], path="^/x")], False),
        ([include([route("a", one)], path="^/y")], False),
        ([route_class(Chat)], False),
        ([path("x", include([route("a", one, text="x")]))], True),
        ([path("x", include([route("b", one)]))], False),
        ([path("y", include([route("a", one)]))], False),
    ],
)
def test_covering(routing, covered):
    assert Router(routing).covers(message_on("a", path="/x")) is covered
