"""`fairway.http.consumers`: real requests through a layer, a worker's dispatch and Django."""

import json
import threading

import pytest
from django.utils import translation

from fairway.broker.effects import Frame
from fairway.channel import Group
from fairway.errors import InvalidMessage
from fairway.http.consumers import ViewConsumer
from fairway.layers.codec import decode_message
from fairway.names import new_channel
from tests.http import pages
from tests.http.exchange import kinds, make_message
from tests.support.waiting import wait_until

FORM = (b"content-type", b"application/x-www-form-urlencoded")


def cookie(text):
    return (b"cookie", text.encode())


def multipart(name, content, note="a note"):
    boundary = "xyz"
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="note"\r\n\r\n{note}\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'.encode(),
        b"Content-Type: application/octet-stream\r\n\r\n",
        content,
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    return b"".join(lines), (b"content-type", b"multipart/form-data; boundary=xyz")


# --- what Django does ------------------------------------------------------------------------------------------------


def test_a_view_answers_with_the_commit_of_its_request(site):
    answer = site.get("/hello/?name=Ada")
    assert (answer.status, answer.text) == (200, "hello Ada at /hello/")
    assert kinds(answer) == ["frame", "done"]


def test_two_requests_keep_apart(site):
    first, second = site.submit({"path": "/hello/?name=Ada"}), site.submit({"path": "/hello/?name=Bob"})
    site.work()
    site.work()
    items = site.inbox.drain()
    texts = {item.channel: item.body for item in items if isinstance(item, Frame)}
    assert b"Ada" in texts[first]
    assert b"Bob" in texts[second]


def test_an_async_view_answers(site):
    assert site.get("/ahello/").text == "async hello"


def test_a_session_lasts_over_requests(site):
    first = site.get("/count/")
    assert first.text == "1"
    again = site.get("/count/", headers=[cookie(first.cookies())])
    assert again.text == "2"


def test_csrf_protects_forms(site):
    page = site.get("/form/")
    token, jar = page.text, page.cookies()
    assert site.post("/form/", b"text=hi", FORM, cookie(jar)).status == 403
    body = f"text=hi&csrfmiddlewaretoken={token}".encode()
    assert site.post("/form/", body, FORM, cookie(jar)).text == "posted hi"


def test_a_small_file_is_uploaded_in_memory(site):
    body, kind = multipart("a.bin", b"x" * 1000)
    answer = site.post("/upload/", body, kind)
    expected = {"name": "a.bin", "size": 1000, "kind": "InMemoryUploadedFile", "note": "a note"}
    assert json.loads(answer.text) == expected


def upload_in_chunks(site, body, *headers, size=256 * 1024):
    """Send a body as a server does: no chunk before there is credit for it."""
    channel = new_channel("http.request.body?")
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    first, *rest = parts
    content = {"method": "POST", "path": "/upload/", "headers": headers, "body": first, "body_channel": channel}
    reply = site.submit(content)
    worker = threading.Thread(target=site.work)
    worker.start()
    items, credit = [], 1024 * 1024

    def has_credit():
        nonlocal credit
        new = site.inbox.drain()
        items.extend(new)
        credit += sum(item.size for item in new if hasattr(item, "size"))
        return credit > 0

    for index, part in enumerate(rest, 1):
        wait_until(has_credit, "credit")
        credit -= len(part)
        site.layer.send(channel, {"content": part, "more_content": index < len(rest)})
    worker.join(10)
    items += site.inbox.drain()
    return [item for item in items if isinstance(item, Frame) and item.channel == reply]


def test_a_large_file_is_uploaded_under_credit_to_a_file(site, settings):
    settings.MIDDLEWARE = []
    body, kind = multipart("large.bin", b"x" * (5 * 1024 * 1024))
    (frame,) = upload_in_chunks(site, body, kind)
    assert b"TemporaryUploadedFile" in frame.body
    assert str(5 * 1024 * 1024).encode() in frame.body


@pytest.mark.parametrize("length", [None, b"10"])
def test_the_limit_on_bodies_holds_whatever_content_length_says(site, settings, length):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    headers = [(b"content-length", length)] if length else []
    answer = site.ask({"method": "POST", "path": "/raw/", "headers": headers, "body": b"x" * 101})
    assert answer.status == 400
    answer = site.ask({"method": "POST", "path": "/raw/", "headers": headers, "body": b"x" * 100})
    assert answer.text.startswith("100 ")


@pytest.mark.parametrize("length", [None, b"10"])
def test_an_upload_above_the_limit_is_not_held_in_memory_whatever_content_length_says(site, settings, length):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    body, kind = multipart("a.bin", b"x" * 2000)
    headers = [kind, *([(b"content-length", length)] if length else [])]
    answer = site.ask({"method": "POST", "path": "/upload/", "headers": headers, "body": body})
    assert json.loads(answer.text)["kind"] == "TemporaryUploadedFile"


def test_cookies_in_and_out(site):
    answer = site.get("/cookies/", headers=[cookie("a=1"), cookie("b=2")])
    assert json.loads(answer.text) == {"a": "1", "b": "2"}
    assert answer.headers("Set-Cookie") == ["one=1; Path=/", "two=2; HttpOnly; Path=/"]


def test_redirects_and_missing_slashes(site):
    away = site.get("/away/")
    assert (away.status, away.headers("location")) == (302, ["/hello/"])
    slash = site.get("/hello")
    assert (slash.status, slash.headers("location")) == (301, ["/hello/"])


def test_a_conditional_request_gets_304(site):
    answer = site.get("/tagged/", headers=[(b"if-none-match", b'"abc"')])
    assert (answer.status, answer.content) == (304, b"")


def test_errors_have_djangos_answers(site, caplog):
    assert site.get("/nowhere/").status == 404
    assert site.get("/forbidden/").status == 403
    assert site.get("/broken/").status == 500
    assert "broken on purpose" in caplog.text


def test_a_host_that_is_not_allowed_is_a_bad_request(site, settings):
    settings.ALLOWED_HOSTS = ["example.com"]
    assert site.get("/hello", headers=[(b"host", b"evil.example")]).status == 400
    assert site.get("/hello", headers=[(b"host", b"example.com")]).status == 301


def test_response_later_answers_nothing_and_keeps_the_session(site, caplog):
    from django.contrib.sessions.models import Session

    answer = site.get("/later/")
    assert answer.messages == []
    assert kinds(answer) == ["done"]
    assert pages.events == ["later"]
    assert Session.objects.count() == 1
    assert not caplog.records


def test_what_a_view_sends_leaves_with_its_response(site, monkeypatch):
    from django.http import HttpResponse

    def view(request):
        Group("fans", channel_layer=site.layer).send({"text": "news"})
        return HttpResponse("sent")

    fan = site.layer.reader(["fan"])
    site.layer.group_add("fans", "fan")
    monkeypatch.setattr("django.core.handlers.base.BaseHandler.resolve_request", lambda *_: (view, (), {}))
    assert site.get("/").text == "sent"
    assert fan.receive(1) is not None


# --- streaming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/stream/", "/astream/"])
def test_a_stream_is_sent_part_by_part(site, path):
    answer = site.get(path)
    assert [message["content"] for message in answer.messages] == [b"0\n", b"1\n", b"2\n", b""]
    assert answer.is_complete
    assert kinds(answer) == ["frame"] * 4 + ["done"]
    assert pages.events[-1] == "closed"


@pytest.mark.parametrize("path", ["/stream/?end=50", "/astream/?end=50"])
def test_a_slow_client_slows_the_view(site, path):
    channel = site.submit({"path": path})
    site.inbox.congest(channel)
    worker = threading.Thread(target=site.work)
    worker.start()
    wait_until(lambda: "made 0" in pages.events, "the first part")
    frames = []
    # The view waits with its first part in hand: nothing reaches the server, and little more is made.
    assert not [item for item in site.inbox.drain() if isinstance(item, Frame)]
    assert "made 5" not in pages.events
    site.inbox.relieve(channel)
    worker.join(10)
    frames += [item for item in site.inbox.drain() if isinstance(item, Frame)]
    assert len(frames) == 51


def test_a_client_that_goes_away_ends_the_iterator_quietly(site, caplog):
    class Leaving(ViewConsumer):
        def __call__(self, message, **kwargs):
            original = pages._numbers

            def numbers(end):
                for part in original(end):
                    yield part
                    site.inbox.depart(message.reply_channel.name)

            pages._numbers = numbers
            try:
                super().__call__(message, **kwargs)
            finally:
                pages._numbers = original

    site.dispatcher._application._consumer = Leaving()
    answer = site.get("/stream/?end=1000000")
    assert len(answer.messages) <= 1
    assert pages.events == ["made 0", "made 1", "closed"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_client_that_takes_nothing_ends_the_view(site, caplog):
    consumer = ViewConsumer()
    consumer.send_timeout = 0.02
    site.dispatcher._application._consumer = consumer
    channel = site.submit({"path": "/stream/?end=1000000"})
    site.inbox.congest(channel)
    site.work()
    assert pages.events == ["made 0", "closed"]
    assert "is full (" in caplog.text


def test_a_stream_that_breaks_is_logged_and_cut(site, caplog):
    """A second status tells the server to cut the response, so that the client sees that it is not whole."""
    begun, second = site.get("/broken-stream/").messages
    assert begun["content"] == b"begun"
    assert begun["more_content"]
    assert second["status"] == 500
    assert "broken in the middle" in caplog.text


def test_a_large_response_is_paced_too(site):
    answer = site.get_while_reading("/large/")
    assert [len(message["content"]) for message in answer.messages] == [512 * 1024, 512 * 1024, 1]
    assert answer.is_complete
    assert answer.headers("Content-Length") == [str(1024 * 1024 + 1)]


def test_head_of_a_stream_makes_no_part(site):
    answer = site.ask({"method": "HEAD", "path": "/stream/"})
    assert answer.content == b""
    assert pages.events == []


def test_a_request_without_a_reply_channel_is_the_callers_fault():
    with pytest.raises(ValueError, match="has a reply_channel"):
        ViewConsumer()(make_message({"reply_channel": None}))


def test_kwargs_of_a_route_are_welcome(site):
    ViewConsumer()(make_message({"path": "/hello/"}, site.layer), room="lobby")
    [frame] = [item for item in site.inbox.drain() if isinstance(item, Frame)]
    assert decode_message(frame.body)["status"] == 200


def test_a_status_that_is_no_number_is_the_views_fault(site):
    class OddHandler:
        def __call__(self, _message):
            yield {"status": "200", "headers": [], "content": b"", "more_content": False}

    class Odd(ViewConsumer):
        handler_class = OddHandler

    with pytest.raises(InvalidMessage, match="status"):
        Odd()(make_message({}, site.layer))


def test_what_middleware_chose_for_a_request_is_not_chosen_for_the_next_message(site, settings):
    settings.MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware"]
    site.get("/hello/", headers=[(b"accept-language", b"de")])

    assert translation.get_language() == settings.LANGUAGE_CODE
