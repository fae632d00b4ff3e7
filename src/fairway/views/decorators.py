"""Which views take WebSockets: two decorators, and the attributes that they set.

A view says so by its attributes `accept_websocket` and `require_websocket`; the decorators set them, and they may be
set by hand where the middleware is installed. The decorators work without it, and without a server too.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, overload

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.utils.cache import add_never_cache_headers, patch_vary_headers

from fairway.views.requests import asks_for_websocket, prepare

P = ParamSpec("P")
Response = HttpResponseBase
"""What a decorated view returns; one that has None to say of a WebSocket need not make one."""

SETTING = "WEBSOCKET_ACCEPT_ALL"
MIDDLEWARE = {"fairway.views.WebSocketMiddleware", "fairway.views.middleware.WebSocketMiddleware"}

_decorated: set[str] = set()
"""The modules whose views were decorated: where there are none, a project does without sockets in views."""


class NoAnswer(HttpResponse):
    """What a view has answered to a WebSocket that returned None: nothing."""


@overload
def accept_websocket(view: Callable[P, Coroutine[Any, Any, Any]]) -> Callable[P, Coroutine[Any, Any, Response]]: ...
@overload
def accept_websocket(view: Callable[P, Any]) -> Callable[P, Response]: ...
def accept_websocket(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a view take WebSockets beside plain requests; `request.is_websocket()` tells which it is."""
    return _decorate(view, is_required=bool(getattr(view, "require_websocket", False)))


@overload
def require_websocket(view: Callable[P, Coroutine[Any, Any, Any]]) -> Callable[P, Coroutine[Any, Any, Response]]: ...
@overload
def require_websocket(view: Callable[P, Any]) -> Callable[P, Response]: ...
def require_websocket(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a view take nothing but WebSockets; a plain request is answered with 400."""
    return _decorate(view, is_required=True)


def accepts_all() -> bool:
    """Return the setting `WEBSOCKET_ACCEPT_ALL`: whether every view takes WebSockets.

    Raises:
        ImproperlyConfigured: it is no bool.
    """
    value = getattr(settings, SETTING, False)
    if type(value) is not bool:
        raise ImproperlyConfigured(f"{SETTING} is True or False, not {value!r:.100}")
    return value


def accepts(view: Any) -> bool:
    """Say whether a view takes WebSockets."""
    return accepts_all() or _says(view, "accept_websocket") or requires(view)


def requires(view: Any) -> bool:
    """Say whether a view takes nothing but WebSockets."""
    return _says(view, "require_websocket")


def are_used() -> bool:
    """Say whether any view of this project may take a WebSocket, as far as this process knows."""
    return bool(_decorated) or accepts_all() or not MIDDLEWARE.isdisjoint(settings.MIDDLEWARE)


def answer_of(request: Any, response: Any) -> Any:
    """Return the response of a view that takes WebSockets, marked for caches; for a WebSocket, None is one."""
    if response is None and request.is_websocket():
        response = NoAnswer()
    if isinstance(response, HttpResponseBase):
        _mark_for_caches(request, response)
    return response


def _mark_for_caches(request: Any, response: HttpResponseBase) -> None:
    """Let no cache answer a WebSocket, or a page with what a WebSocket was answered: both are a GET of one URL."""
    patch_vary_headers(response, ["Upgrade"])
    # A plain request may tell the header too. What it is answered would be found again by WebSockets.
    if request.is_websocket() or "HTTP_UPGRADE" in request.META:
        add_never_cache_headers(response)


def refusal_of(request: HttpRequest, view: Any) -> HttpResponse | None:
    """Return the 400 for a request that a view does not take, or None. The request has been prepared."""
    if request.is_websocket():  # type: ignore[attr-defined]
        return None if accepts(view) else HttpResponseBadRequest()
    return HttpResponseBadRequest() if requires(view) else None


def _says(view: Any, name: str) -> bool:
    return bool(getattr(view, name, False) or getattr(getattr(view, "view_class", None), name, False))


def _begin(request: Any, view: Any) -> HttpResponse | None:
    if not hasattr(request, "is_websocket"):  # neither the middleware nor a server of ours has seen it
        prepare(request)
        if asks_for_websocket(request):
            return HttpResponseBadRequest()
    return refusal_of(request, view)


def _decorate(view: Callable[..., Any], *, is_required: bool) -> Callable[..., Any]:
    def wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
        refusal = _begin(request, wrapper)
        response = view(request, *args, **kwargs) if refusal is None else refusal
        if inspect.isawaitable(response):
            return _finish(request, response)
        return answer_of(request, response)

    async def async_wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
        refusal = _begin(request, async_wrapper)
        return answer_of(request, await view(request, *args, **kwargs) if refusal is None else refusal)

    decorated: Any = wraps(view)(async_wrapper if iscoroutinefunction(view) else wrapper)
    if iscoroutinefunction(view):
        markcoroutinefunction(decorated)
    decorated.accept_websocket = True
    decorated.require_websocket = is_required
    _decorated.add(getattr(view, "__module__", ""))
    return decorated  # type: ignore[no-any-return]  # given attributes, and so an Any


async def _finish(request: Any, response: Awaitable[Any]) -> Any:
    """Do as the coroutine form for a view that is none itself: the `dispatch` of a class with coroutines."""
    return answer_of(request, await response)
