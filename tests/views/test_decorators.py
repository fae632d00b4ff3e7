"""Which views take WebSockets, without a server and without the middleware."""

from urllib.request import urlopen

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path
from django.utils.cache import has_vary_header
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page

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


runs = []


@accept_websocket
def page_or_socket(request):
    runs.append(request.is_websocket())
    if not request.is_websocket():
        return HttpResponse("page")
    request.websocket.send("socket")
    return None


urlpatterns = [path("either/", page_or_socket), path("kept/", cache_page(60)(page_or_socket))]


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


@pytest.mark.parametrize("decorator", [accept_websocket, require_websocket])
async def test_every_answer_tells_caches_that_a_websocket_has_another(decorator, get):
    for request in (get, Socketed()):
        assert has_vary_header(decorator(view)(request), "Upgrade")
        assert has_vary_header(await decorator(aview)(request), "Upgrade")


@pytest.mark.parametrize(
    ("asked", "is_kept"),
    [
        (RequestFactory().get("/"), True),
        (RequestFactory().get("/", HTTP_UPGRADE="websocket"), False),
        (Socketed(), False),
    ],
)
def test_a_cache_may_keep_what_is_answered_to_a_request_without_upgrade(asked, is_kept):
    response = accept_websocket(lambda _request: HttpResponse())(asked)
    assert response.has_header("Cache-Control") is not is_kept


class TestCaches:
    """Pages are answered from them, WebSockets never."""

    @pytest.fixture(params=["/either/", "/kept/"])
    def where(self, request, settings, at):
        """A view behind a cache, of the middleware or its own."""
        settings.ROOT_URLCONF = "tests.views.test_decorators"
        runs.clear()
        cache.clear()
        yield request.param
        cache.clear()

    @pytest.fixture
    def middleware(self, settings):
        """The middleware of the project."""
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        names = [f"django.middleware.cache.{name}CacheMiddleware" for name in ("Update", "FetchFrom")]
        return [names[0], *settings.MIDDLEWARE, names[1]]

    @pytest.fixture
    def layer_setting(self):
        """One is enough."""
        return {"BACKEND": "fairway.layers.MemoryLayer"}

    @pytest.mark.parametrize("order", ["sockets first", "pages first"])
    def test_each_socket_runs_its_view_and_a_page_is_made_once(self, at, where, order):
        asks = [self.socket, self.socket, self.page, self.page]
        for ask in asks if order == "sockets first" else reversed(asks):
            ask(at, where)
        assert sorted(runs) == [False, True, True]

    def socket(self, at, where):
        with at(where.removeprefix("/")) as client:
            assert client.recv(30) == "socket"

    def page(self, at, where):
        with urlopen(f"http://127.0.0.1:{at.port}{where}", timeout=30) as page:
            assert page.read() == b"page"


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
