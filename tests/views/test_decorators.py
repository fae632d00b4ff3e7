"""Which views take WebSockets, without a server and without the middleware."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views import View

from fairway.views import accept_websocket, decorators, require_websocket
from fairway.views.decorators import NoAnswer, accepts, are_used, requires

UPGRADE = {"HTTP_CONNECTION": "keep-alive, Upgrade", "HTTP_UPGRADE": "WebSocket"}


class Socketed:
    """A request that has a WebSocket."""

    websocket = object()

    def is_websocket(self):
        return True


def view(request, *args, **kwargs):
    """What a view tells of itself."""
    return HttpResponse(f"{request.is_websocket()} {request.websocket} {args} {kwargs}")


async def aview(request):
    return HttpResponse(f"{request.is_websocket()}")


@pytest.fixture
def get():
    return RequestFactory().get("/")


def test_names_docstrings_and_attributes_stay():
    view.mark = 1
    decorated = accept_websocket(view)
    assert (decorated.__name__, decorated.__doc__, decorated.mark) == ("view", view.__doc__, 1)
    assert (decorated.accept_websocket, decorated.require_websocket) == (True, False)
    both = accept_websocket(require_websocket(view))
    assert (both.accept_websocket, both.require_websocket) == (True, True)
    assert not hasattr(view, "accept_websocket")


def test_a_plain_request_runs_a_view_that_accepts(get):
    assert accept_websocket(view)(get, 1, a=2).content == b"False None (1,) {'a': 2}"


def test_a_plain_request_to_a_view_that_requires_is_a_bad_request(get):
    assert require_websocket(view)(get).status_code == 400


@pytest.mark.parametrize("decorator", [accept_websocket, require_websocket])
def test_a_handshake_that_no_server_of_ours_has_made_is_a_bad_request(decorator):
    assert decorator(view)(RequestFactory().get("/", **UPGRADE)).status_code == 400


async def test_coroutine_views(get):
    assert (await accept_websocket(aview)(get)).content == b"False"
    assert (await require_websocket(aview)(get)).status_code == 400


def test_none_is_an_answer_to_a_websocket_and_stays_none_for_a_plain_request(get):
    silent = accept_websocket(lambda _request: None)
    answer = silent(Socketed())
    assert (type(answer), answer.status_code, answer.content) == (NoAnswer, 200, b"")
    assert silent(get) is None


async def test_none_of_a_coroutine_is_an_answer_too():
    async def silent(request):
        return None

    assert type(await require_websocket(silent)(Socketed())) is NoAnswer


class Told(View):
    accept_websocket = True

    def get(self, request):
        return HttpResponse("told")


@method_decorator(require_websocket, name="dispatch")
class Dispatched(View):
    def get(self, request):
        return HttpResponse("dispatched")


@method_decorator(require_websocket, name="dispatch")
class AsyncDispatched(View):
    async def get(self, request):
        return None


def test_classes_say_so_by_an_attribute_or_a_decorated_dispatch():
    assert (accepts(Told.as_view()), requires(Told.as_view())) == (True, False)
    assert (accepts(Dispatched.as_view()), requires(Dispatched.as_view())) == (True, True)
    assert not accepts(View.as_view())


async def test_a_decorated_dispatch(get):
    assert Dispatched.as_view()(get).status_code == 400
    request = RequestFactory().get("/")
    request.is_websocket = lambda: True
    request.websocket = object()
    assert type(await AsyncDispatched.as_view()(request)) is NoAnswer


def test_a_websocket_to_a_view_that_takes_none_is_a_bad_request():
    decorated = accept_websocket(view)
    decorated.accept_websocket = False
    assert decorated(Socketed()).status_code == 400


def test_all_views_take_them_where_the_settings_say_so(settings):
    assert not accepts(view)
    settings.WEBSOCKET_ACCEPT_ALL = True
    assert accepts(view)


@pytest.mark.parametrize("how", ["a decorated view", "the middleware", "the setting", "nothing"])
def test_whether_they_are_used_at_all(settings, monkeypatch, how):
    monkeypatch.setattr(decorators, "_decorated", set())
    if how == "a decorated view":
        accept_websocket(view)
    elif how == "the middleware":
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "fairway.views.middleware.WebSocketMiddleware"]
    elif how == "the setting":
        settings.WEBSOCKET_ACCEPT_ALL = True
    assert are_used() is (how != "nothing")
