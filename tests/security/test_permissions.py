"""Who may talk to a consumer: real browsers' sockets, to functions, methods and classes, with async and without."""

import http.client
import json

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied
from websockets.exceptions import InvalidStatus

from fairway import Group, Message, channel_layers, include, route
from fairway.auth import channel_session_user
from fairway.consumers import BaseConsumer, JsonWebsocketConsumer, WebsocketConsumer, WebsocketDemultiplexer
from fairway.errors import DenyConnection
from fairway.layers.codec import decode_message
from fairway.security import login_required, permission_required, user_passes_test
from tests.auth.live import Browser, ask, how_closed, serving
from tests.support.waiting import wait_until

seen = []


def accept(message, **kwargs):
    message.reply_channel.send({"accept": True})
    Group("joined").add(message.reply_channel)


async def aaccept(message, **kwargs):
    message.reply_channel.send({"accept": True})
    await Group("joined").aadd(message.reply_channel)


def say(message, **kwargs):
    message.reply_channel.send({"text": f"{message.user.username} {kwargs}"})


async def asay(message, **kwargs):
    message.reply_channel.send({"text": f"{message.user.username} {kwargs}"})


def note_end(message, **kwargs):
    seen.append((message["code"], message.user.username))


def function_routes(decorator, connect, receive):
    return include(
        [
            route("websocket.connect", decorator(connect)),
            route("websocket.receive", decorator(receive)),
            route("websocket.disconnect", decorator(note_end)),
        ]
    )


class Plain(WebsocketConsumer):
    groups = ["joined"]

    def receive(self, text=None, **kwargs):
        self.send(f"{self.message.user.username} {kwargs}")

    def room_shout(self, event, **kwargs):
        self.send("heard it")

    def disconnect(self, message, **kwargs):
        note_end(message)


class AsyncPlain(Plain):
    async def connect(self, message, **kwargs):
        message.reply_channel.send({"accept": True})

    async def receive(self, text=None, **kwargs):
        self.send(f"{self.message.user.username} {kwargs}")


def methods(decorator):
    class Methods(Plain):
        http_user = True

        @decorator
        def connect(self, message, **kwargs):
            message.reply_channel.send({"accept": True})

        @decorator
        def receive(self, text=None, **kwargs):
            self.send(f"{self.message.user.username} {kwargs}")

    return Methods


def amethods(decorator):
    class AsyncMethods(AsyncPlain):
        http_user = True

        @decorator
        async def connect(self, message, **kwargs):
            message.reply_channel.send({"accept": True})

        @decorator
        async def receive(self, text=None, **kwargs):
            self.send(f"{self.message.user.username} {kwargs}")

    return AsyncMethods


async def is_ada(user):
    return user.username == "ada" and user.is_active


RULES = {
    "login": login_required,
    "login-called": login_required(),
    "permission": permission_required("auth.change_user"),
    "permissions": permission_required(["auth.change_user", "auth.delete_user"]),
    "test": user_passes_test(lambda user: user.username == "ada"),
    "atest": user_passes_test(is_ada),
}
FORMS = {
    "function": lambda rule: function_routes(rule, accept, say),
    "coroutine": lambda rule: function_routes(rule, aaccept, asay),
    "method": lambda rule: methods(rule).as_route(),
    "async-method": lambda rule: amethods(rule).as_route(),
    "class": lambda rule: rule(type("Guarded", (Plain,), {})).as_route(),
    "async-class": lambda rule: rule(type("AsyncGuarded", (AsyncPlain,), {})).as_route(),
    "derived": lambda rule: type("Derived", (rule(type("Base", (Plain,), {})),), {}).as_route(),
}


@login_required
class Secret(JsonWebsocketConsumer):
    def receive(self, content, multiplexer=None, **kwargs):
        multiplexer.send(self.message.user.username)


class Streams(WebsocketDemultiplexer):
    consumers = {"secret": Secret, "echo": lambda message, multiplexer: None}


def page(message):
    message.reply_channel.send({"status": 200, "content": message.user.username.encode()})


channel_routing = [
    *(
        include([form(rule)], path=f"^/{name}/{kind}/(?P<room>[a-z]+)")
        for name, rule in RULES.items()
        for kind, form in FORMS.items()
    ),
    Streams.as_route(path="^/streams/"),
    Streams.as_route(path="^/streams-of-users/", attrs={"http_user": True}),
    route("http.request", login_required(page), path="^/page/"),
]


@pytest.fixture
def port(settings, transactional_db):
    seen.clear()
    settings.CHANNEL_USER_MAX_AGE = 0
    ada = User.objects.create_user("ada", password="secret")
    ada.user_permissions.set(Permission.objects.filter(codename__in=["change_user", "delete_user"]))
    User.objects.create_user("bob", password="secret")
    with serving(settings, f"{__name__}.channel_routing") as port:
        yield port


def change_login(rule):
    """Let the rule be no longer true for ada."""
    if rule.startswith("login"):
        User.objects.filter(username="ada").update(is_active=False)
    elif rule.startswith("perm"):
        User.objects.get(username="ada").user_permissions.clear()
    else:
        User.objects.filter(username="ada").update(username="eve")


def is_idle(channel):
    found = channel_layers["default"].statistics().channels[channel]
    return found.waiting == found.leased == 0


REASONS = {"login": "login required", "permission": "permission denied", "test": "not allowed"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", ["login", "permissions", "atest"])
def test_who_may_and_who_may_not(port, rule, form, caplog):
    where = f"{rule}/{form}/blue"
    ada = Browser(port).login("ada")
    others = [Browser(port)] if rule == "login" else [Browser(port), Browser(port).login("bob")]
    for other in others:
        with pytest.raises(InvalidStatus) as refused:
            other.open(where)
        assert refused.value.response.status_code == 403
    if "method" not in form:
        assert Group("joined").channels() == []
    with ada.open(where) as socket:
        assert ask(socket) == "ada {'room': 'blue'}"
        change_login(rule)
        socket.send("who")
        reason = REASONS[rule.rstrip("s").removeprefix("a")]
        assert how_closed(socket) == (1008, reason)
        assert f"{reason}: closed websocket.send." in caplog.text
    wait_until(lambda: seen and is_idle("websocket.disconnect"), "the disconnects to be handled")
    assert len(seen) == (1 + len(others) if "method" in form else 1)


@pytest.mark.parametrize("rule", ["login-called", "permission", "test"])
def test_other_ways_to_write_them(port, rule):
    ada = Browser(port).login("ada")
    with ada.open(f"{rule}/function/blue") as socket:
        assert ask(socket) == "ada {'room': 'blue'}"
        change_login(rule)
        socket.send("who")
        assert how_closed(socket)[0] == 1008


def test_typed_messages_of_a_group_are_guarded_too(port):
    with Browser(port).login("ada").open("login/class/blue") as socket:
        ask(socket)
        Group("joined").send({"type": "room.shout"})
        assert socket.recv(30) == "heard it"
        change_login("login")
        Group("joined").send({"type": "room.shout"})
        assert how_closed(socket) == (1008, "login required")


@pytest.mark.parametrize("where", ["streams/", "streams-of-users/"])
def test_a_guarded_stream_guards_its_socket(port, where):
    with pytest.raises(InvalidStatus) as refused:
        Browser(port).open(where)
    assert refused.value.response.status_code == 403
    with Browser(port).login("ada").open(where) as socket:
        frame = '{"stream": "secret", "payload": {}}'
        assert json.loads(ask(socket, frame)) == {"stream": "secret", "payload": "ada"}
        change_login("login")
        socket.send(frame)
        assert how_closed(socket) == (1008, "login required")


def test_a_consumer_of_requests_answers_403(port):
    def get(cookie):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/page/", headers={"Cookie": cookie})
        response = connection.getresponse()
        found = response.status, response.read()
        connection.close()
        return found

    assert get("sessionid=forged0123456789") == (403, b"403 Forbidden\n")
    assert get(Browser(port).login("ada").cookie) == (200, b"ada")


def message_on(channel, user=None, **content):
    message = Message(content, channel, channel_layers["default"])
    if user is not None:
        message.user = user
    return message


@pytest.fixture
def layers(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}
    yield channel_layers["default"]
    channel_layers.clear()


def test_on_other_channels_it_is_an_error_in_the_log(layers):
    with pytest.raises(
        PermissionDenied, match="login required: a message of 'work' was not handled, by login_required"
    ):
        login_required(say)(message_on("work", AnonymousUser()))
    with pytest.raises(PermissionDenied, match="'work' without a reply channel belongs to no connection"):
        login_required(say)(message_on("work"))


async def test_and_for_a_coroutine(layers):
    with pytest.raises(PermissionDenied, match="permission denied"):
        await permission_required("auth.change_user")(asay)(message_on("work", AnonymousUser()))
    with pytest.raises(DenyConnection, match="not allowed"):
        await user_passes_test(bool_of_nobody)(asay)(message_on("websocket.connect", AnonymousUser()))


def bool_of_nobody(user):
    return False


def test_a_message_that_has_its_user_is_asked_for_no_session(layers):
    reader = layers.reader(["answers"])
    login_required(say)(message_on("work", User(username="ada"), reply_channel="answers"))
    assert decode_message(reader.receive(5).body) == {"text": "ada {}"}


def test_a_message_about_a_connection_has_the_user_of_its_session(layers, db):
    with pytest.raises(PermissionDenied, match="login required"):
        login_required(say)(message_on("work", reply_channel="websocket.send.x!y"))


def test_a_session_decorator_further_out_is_the_one_that_counts(layers, db):
    decorated = channel_session_user(login_required(say))
    with pytest.raises(PermissionDenied, match="login required"):
        decorated(message_on("work", reply_channel="websocket.send.x!y"))


def test_what_a_decorated_class_is():
    @login_required
    @permission_required("auth.change_user")
    class Guarded(JsonWebsocketConsumer):
        pass

    assert issubclass(Guarded, JsonWebsocketConsumer)
    assert (Guarded.http_user, len(Guarded.guards)) == (True, 2)
    assert (JsonWebsocketConsumer.http_user, JsonWebsocketConsumer.guards) == (False, ())

    @login_required
    class WithSession(WebsocketConsumer):
        http_user_and_session = True

    assert (WithSession.http_user, WithSession.http_user_and_session) == (False, True)


def test_a_class_with_channels_of_its_own(layers):
    done = []

    @login_required
    class Job(BaseConsumer):
        method_mapping = {"work": "work"}

        def work(self, message):
            done.append(message.user.username)

    Job(message_on("work", User(username="ada")))
    with pytest.raises(PermissionDenied, match="login required"):
        Job(message_on("work", AnonymousUser()))
    assert done == ["ada"]


def test_a_class_that_is_no_consumer():
    with pytest.raises(TypeError, match="permission_required on a class guards class-based consumers"):
        permission_required("auth.change_user")(object)


def test_the_outer_decorator_is_asked_first(layers):
    @login_required
    @user_passes_test(bool_of_nobody)
    class Guarded(WebsocketConsumer):
        http_user = False

    Guarded.http_user = False
    with pytest.raises(DenyConnection, match="login required"):
        Guarded(message_on("websocket.connect", AnonymousUser(), path="/", reply_channel="x"))


def test_a_decorated_function_keeps_its_name():
    assert login_required(say).__name__ == "say"
