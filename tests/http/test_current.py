"""The request that runs here, and what happens between its last middleware and its response."""

import contextlib

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.urls import path

from fairway.http.current import call_when_answered, current_request, observers
from tests.http.exchange import Site

seen = []


def note(what):
    seen.append((what, current_request.get().path))


def view(request):
    call_when_answered(request, lambda: note("answered"))
    call_when_answered(request, lambda: note("answered again"))
    note("view")
    return HttpResponse("hello")


async def aview(request):
    note("coroutine")
    await sync_to_async(note)("thread")
    return HttpResponse("hello")


def failing(request):
    call_when_answered(request, lambda: 1 / 0)
    call_when_answered(request, lambda: note("after it"))
    return HttpResponse("hello")


def broken(request):
    raise ValueError("broken")


class Middleware:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        note("before")
        response = self.get_response(request)
        note("after")
        return response


urlpatterns = [path("view/", view), path("aview/", aview), path("failing/", failing), path("broken/", broken)]


def ask(settings, where):
    seen.clear()
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [f"{__name__}.Middleware"]
    with contextlib.closing(Site()) as site:
        answer = site.get(where)
    assert current_request.get() is None
    return answer


def test_view_and_middleware_see_it_and_calls_wait_for_the_last_of_them(settings):
    assert ask(settings, "/view/").text == "hello"
    assert [what for what, _ in seen] == ["before", "view", "after", "answered", "answered again"]
    assert {where for _, where in seen} == {"/view/"}


def test_coroutines_and_their_threads_see_it(settings):
    assert ask(settings, "/aview/").text == "hello"
    assert [what for what, _ in seen] == ["before", "coroutine", "thread", "after"]


def test_a_call_that_fails_costs_neither_the_response_nor_the_next_call(settings, caplog):
    assert ask(settings, "/failing/").text == "hello"
    assert [what for what, _ in seen] == ["before", "after", "after it"]
    assert "failed after GET /failing/ was answered" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_view_that_fails_leaves_nothing_behind(settings, caplog):
    assert ask(settings, "/broken/").status == 500


@pytest.fixture
def observed():
    def observe(request, response):
        note(f"observed {response.status_code}")

    observers.append(observe)
    yield
    observers.remove(observe)


def test_observers_come_last_and_see_every_request(settings, observed, caplog):
    ask(settings, "/view/")
    assert [what for what, _ in seen][-2:] == ["answered again", "observed 200"]
    ask(settings, "/broken/")
    assert [what for what, _ in seen] == ["before", "after", "observed 500"]
