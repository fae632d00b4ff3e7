"""A real site with accounts: a server, a worker, views that log in and out, and browsers that hold cookies."""

import contextlib
import http.client
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model, login, logout, update_session_auth_hash
from django.http import HttpResponse
from django.urls import path
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from fairway import channel_layers
from fairway.application import application_for
from tests.support.serving import serving as serving_on

MEMORY = {"BACKEND": "fairway.layers.MemoryLayer"}


def login_view(request):
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse("wrong", status=401)
    login(request, user)
    return HttpResponse("welcome")


def visit_view(request):
    request.session["visited"] = True
    return HttpResponse(request.user.username or "nobody")


def logout_view(request):
    logout(request)
    return HttpResponse("bye")


def password_view(request):
    """Change the password of the own account as Django's view does, or as a careless one does."""
    request.user.set_password(request.POST["password"])
    request.user.save()
    how = request.POST["how"]
    if how == "update":
        update_session_auth_hash(request, request.user)
    elif how == "login":
        login(request, request.user, "django.contrib.auth.backends.ModelBackend")
    elif how == "fail":
        update_session_auth_hash(request, request.user)
        raise ValueError("after all was done")
    return HttpResponse("changed")


def cycle_view(request):
    request.session.cycle_key()
    return HttpResponse("cycled", status=500 if request.POST.get("how") == "fail" else 200)


def flush_view(request):
    request.session.flush()
    return HttpResponse("flushed")


def reset_view(request):
    """Set somebody's password, as an administrator does."""
    user = get_user_model().objects.get(username=request.POST["name"])
    user.set_password(request.POST["password"])
    user.save()
    return HttpResponse("set")


urlpatterns = [
    path("login/", login_view),
    path("visit/", visit_view),
    path("logout/", logout_view),
    path("password/", password_view),
    path("reset/", reset_view),
    path("cycle/", cycle_view),
    path("flush/", flush_view),
]


class Browser:
    """Cookies, pages and sockets of one visitor."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    @property
    def session_key(self) -> str:
        return self.cookies[settings.SESSION_COOKIE_NAME]

    def post(self, where: str, **form: str) -> int:
        """Post a form; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Cookie": self.cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", f"/{where}/", urlencode(form), headers)
        response = connection.getresponse()
        response.read()
        for header in response.headers.get_all("Set-Cookie") or ():
            name, _, value = header.partition(";")[0].partition("=")
            if value.strip('"'):
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        connection.close()
        return response.status

    def login(self, name: str, password: str = "secret") -> "Browser":
        """Log in; return this browser."""
        assert self.post("login", name=name, password=password) == 200
        return self

    def open(self, where: str = "who/", **more: object) -> ClientConnection:
        """Open a socket with the cookies."""
        headers = {"Cookie": self.cookie} if self.cookies else {}
        return connect(f"ws://127.0.0.1:{self.port}/{where}", additional_headers=headers, **more)


def ask(socket: ClientConnection, text: str = "who") -> str:
    """Send a frame; return the answer."""
    socket.send(text)
    return socket.recv(30)


def how_closed(socket: ClientConnection) -> tuple[int, str]:
    """Wait for the close frame; return its code and reason."""
    with pytest.raises(ConnectionClosed) as closed:
        list(iter(lambda: socket.recv(30), None))
    return closed.value.rcvd.code, closed.value.rcvd.reason


@contextlib.contextmanager
def serving(settings: object, routing: str, layer_setting: dict[str, object] = MEMORY) -> Iterator[int]:
    """Serve this module's pages and the sockets of a routing; yields the port."""
    settings.INSTALLED_APPS = ["fairway", *settings.INSTALLED_APPS]
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    settings.CHANNEL_LAYERS = {"default": {**layer_setting, "ROUTING": routing}}
    layer = channel_layers["default"]
    try:
        with serving_on(layer, application_for(), threads=1) as port:  # SQLite in memory locks whole tables
            yield port
    finally:
        channel_layers.clear()
