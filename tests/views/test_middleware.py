"""The middleware: on its own, as a decorator, and in a project."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.decorators import decorator_from_middleware
from websockets.exceptions import InvalidStatus

from fairway.views import WebSocketMiddleware, accept_websocket, require_websocket

PATH = "fairway.views.middleware.WebSocketMiddleware"
UPGRADE = {"HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "websocket"}


def view(request):
    return HttpResponse(f"{request.is_websocket()} {request.websocket}")


class Socketed:
    """A request that has a WebSocket."""

    websocket = None

    def is_websocket(self):
        return True


def test_all_requests_have_the_attributes():
    assert WebSocketMiddleware(view)(RequestFactory().get("/")).content == b"False None"


async def test_coroutines():
    async def aview(request):
        return view(request)

    middleware = WebSocketMiddleware(aview)
    assert (await middleware(RequestFactory().get("/"))).content == b"False None"
    assert (await middleware(RequestFactory().get("/", **UPGRADE))).status_code == 400


def test_a_handshake_that_no_server_of_ours_has_made():
    request = RequestFactory().get("/", **UPGRADE)
    assert WebSocketMiddleware(view)(request).status_code == 400
    assert (request.is_websocket(), request.websocket) == (False, None)


def test_what_does_not_fit_is_a_bad_request():
    middleware = WebSocketMiddleware(view)
    plain = RequestFactory().get("/")
    assert middleware.process_request(plain) is None
    assert middleware.process_view(plain, view, (), {}) is None
    assert middleware.process_view(plain, require_websocket(view), (), {}).status_code == 400
    assert middleware.process_request(Socketed()) is None
    assert middleware.process_view(Socketed(), view, (), {}).status_code == 400
    assert middleware.process_view(Socketed(), accept_websocket(view), (), {}) is None


def test_as_a_decorator():
    decorate = decorator_from_middleware(WebSocketMiddleware)
    assert decorate(view)(RequestFactory().get("/")).content == b"False None"
    assert decorate(require_websocket(view))(RequestFactory().get("/")).status_code == 400


class TestInAProject:
    """With it a view may say by hand that it takes WebSockets."""

    @pytest.fixture(params=["sync", "alone"])
    def middleware(self, settings, request):
        """The middleware of the project."""
        return [PATH] if request.param == "alone" else [PATH, *settings.MIDDLEWARE]

    @pytest.fixture
    def layer_setting(self):
        """One is enough."""
        return {"BACKEND": "fairway.layers.MemoryLayer"}

    @pytest.mark.parametrize("where", ["lower_case/", "alower_case/"])
    def test_views(self, at, where):
        with at(where) as client:
            client.send("A")
            assert client.recv(30) == "a"

    def test_a_view_that_says_so_by_hand(self, at):
        with at("by-hand/") as client:
            assert client.recv(30) == "by hand"

    def test_a_view_that_takes_none(self, at):
        with pytest.raises(InvalidStatus) as refused:
            at("plain/")
        assert refused.value.response.status_code == 400
