"""`fairway.http.handler`: everything Django does with a request, behind messages."""

import logging
import threading

import pytest
from django.core import signals
from django.core.signals import got_request_exception
from django.http import HttpResponse
from django.test import override_settings

from fairway.errors import RequestTimeout
from fairway.http.handler import AsgiHandler
from fairway.http.request import AsgiRequest
from fairway.layers.memory import MemoryLayer
from tests.http import pages
from tests.http.exchange import make_message


@pytest.fixture
def seen():
    """The signals of a request, in order."""
    names = []
    receivers = {
        signals.request_started: lambda sender, **_: names.append(("started", sender)),
        signals.request_finished: lambda sender, **_: names.append(("finished", sender)),
        got_request_exception: lambda **_: names.append(("exception", None)),
    }
    for signal, receiver in receivers.items():
        signal.connect(receiver)
    yield names
    for signal, receiver in receivers.items():
        signal.disconnect(receiver)


def run(path, **content):
    return list(AsgiHandler()(make_message({"path": path, **content})))


def test_nothing_happens_before_the_first_message_is_asked_for(seen):
    messages = AsgiHandler()(make_message({"path": "/hello/"}))
    assert seen == []
    next(messages)
    assert seen == [("started", AsgiHandler)]
    assert list(messages) == []
    assert seen == [("started", AsgiHandler), ("finished", AsgiHandler)]


def test_request_started_carries_the_message():
    given = []

    def receive(message, **_):
        given.append(message)

    signals.request_started.connect(receive)
    message = make_message({"path": "/hello/"})
    list(AsgiHandler()(message))
    signals.request_started.disconnect(receive)
    assert given == [message]


def test_reverse_uses_the_mount_point_of_the_request():
    (message,) = run("/mount/hello/", root_path="/mount")
    assert message["content"] == b"hello you at /mount/hello/"
    (message,) = run("/hello/")
    assert message["content"] == b"hello you at /hello/"


def test_an_undecodable_request_is_answered_with_400_and_logged(caplog, seen):
    (message,) = run("/hello/", query_string=b"\xff\xff")
    assert message["status"] == 400
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("django.request", logging.WARNING)
    assert [name for name, _ in seen] == ["started", "finished"]


def test_a_body_that_is_late_is_answered_with_408(seen):
    class Late(AsgiRequest):
        def __init__(self, message):
            raise RequestTimeout("late")

    class Handler(AsgiHandler):
        request_class = Late

    (message,) = Handler()(make_message({"path": "/hello/"}))
    assert message["status"] == 408
    assert b"too slow" in message["content"]
    assert [name for name, _ in seen] == ["started", "finished"]


def test_an_aborted_request_is_not_answered(seen):
    layer = MemoryLayer()
    layer.send("http.request.body?x", {"closed": True})
    message = make_message({"path": "/raw/", "method": "POST", "body_channel": "http.request.body?x"}, layer)
    assert list(AsgiHandler()(message)) == []
    assert [name for name, _ in seen] == ["started", "finished"]
    layer.close()


def test_an_error_in_a_view_is_djangos_500_and_logged_with_its_traceback(caplog, seen):
    (message,) = run("/broken/")
    assert message["status"] == 500
    assert b"Server Error" in message["content"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("django.request", logging.ERROR)
    assert "broken on purpose" in caplog.text
    assert [name for name, _ in seen] == ["started", "exception", "finished"]


def test_with_debug_an_error_is_explained(settings):
    settings.DEBUG = True
    (message,) = run("/broken/")
    assert message["status"] == 500
    assert b"broken on purpose" in message["content"]


@pytest.mark.parametrize(("debug", "text"), [(True, b"Traceback"), (False, b"Internal Server Error")])
def test_when_even_the_error_page_fails_there_is_a_plain_500(settings, monkeypatch, caplog, debug, text):
    settings.DEBUG = debug
    monkeypatch.setattr("django.core.handlers.exception.handle_uncaught_exception", pages.handler500_that_fails)
    (message,) = run("/broken/")
    assert message["status"] == 500
    assert (b"Content-Type", b"text/plain") in message["headers"]
    assert message["content"].startswith(text)
    assert "the error page is broken too" in caplog.text


def test_debug_propagate_exceptions_propagates(settings):
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    with pytest.raises(RuntimeError, match="on purpose"):
        run("/broken/")


def test_the_answer_to_head_has_no_body():
    (message,) = run("/hello/", method="HEAD")
    assert message["status"] == 200
    assert message["content"] == b""
    assert (b"Content-Length", b"20") in message["headers"]


def test_closing_the_messages_closes_the_response(seen):
    messages = AsgiHandler()(make_message({"path": "/stream/", "query_string": b"end=100"}))
    next(messages)
    messages.close()
    assert pages.events == ["made 0", "closed"]
    assert seen[-1] == ("finished", AsgiHandler)


def test_a_file_is_read_in_large_blocks():
    messages = run("/file/")
    assert [len(message["content"]) for message in messages] == [10_000, 0]


def test_a_subclass_may_answer_itself():
    class Own(AsgiHandler):
        chunk_size = 2

        def get_response(self, request):
            return HttpResponse("own")

    assert [message["content"] for message in Own()(make_message({}))] == [b"ow", b"n"]
    assert [len(chunk) for chunk, _ in Own.chunk_bytes(b"abc")] == [2, 1]
    assert len(list(Own.encode_response(HttpResponse("abc")))) == 2


def test_requests_at_the_same_time_share_nothing(settings):
    # CVE-2020-35681: one user got the response and the session of another.
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    handler, meeting, answers = AsgiHandler(), threading.Barrier(2, timeout=30), {}

    def view(request):
        request.session["user"] = request.GET["user"]
        meeting.wait()
        return HttpResponse(f"{request.session['user']} {request.GET['user']}")

    handler.resolve_request = lambda _request: (view, (), {})

    def ask(user):
        (answers[user],) = handler(make_message({}, query_string=f"user={user}".encode()))

    threads = [threading.Thread(target=ask, args=(user,)) for user in ("ada", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {user: answer["content"].decode() for user, answer in answers.items()} == {
        "ada": "ada ada",
        "bob": "bob bob",
    }
    sessions = {dict(answer["headers"])[b"Set-Cookie"] for answer in answers.values()}
    assert len(sessions) == 2


# --- ResponseLater ---------------------------------------------------------------------------------------------------


class Watch:
    """A middleware that notes what it sees."""

    seen: list[object] = []

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        self.seen.append(response.status_code)
        return response

    def process_exception(self, request, exception):
        self.seen.append(exception)


WATCH = ["tests.http.test_handler.Watch", "django.contrib.sessions.middleware.SessionMiddleware"]


@pytest.mark.parametrize("path", ["/later/", "/alater/"])
def test_response_later_sends_nothing_and_no_middleware_takes_it_for_an_error(path, caplog, seen):
    Watch.seen.clear()
    with override_settings(MIDDLEWARE=WATCH, SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        assert run(path) == []
    assert Watch.seen == [202]
    assert caplog.records == []
    assert [name for name, _ in seen] == ["started", "finished"]


def test_response_later_does_not_roll_the_request_back(settings):
    from django.contrib.sessions.models import Session
    from django.db import connection

    settings.MIDDLEWARE = []

    class Handler(AsgiHandler):
        def resolve_request(self, request):
            def view(request):
                Session.objects.create(session_key="kept", session_data="", expire_date="2030-01-01T00:00:00Z")
                assert len(connection.atomic_blocks) > 1
                raise request.ResponseLater

            return view, (), {}

    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert list(Handler()(make_message({}))) == []
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert Session.objects.filter(session_key="kept").exists()
