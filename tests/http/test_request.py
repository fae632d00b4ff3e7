"""`fairway.http.request`: META by the rules, and what Django reads from it."""

import sys
import time

import pytest

from fairway.errors import ResponseLater
from fairway.http.request import AsgiRequest, add_headers
from tests.http.exchange import make_message


def make(**content):
    return AsgiRequest(make_message(content))


def test_only_method_and_path_are_required():
    request = AsgiRequest(make_message({"headers": None, "reply_channel": None}, http_version=None, path="/x/"))
    assert request.method == "GET"
    assert request.path == request.path_info == "/x/"
    assert request.reply_channel is None
    assert request.content_type == ""
    assert request.content_params == {}
    assert request.encoding is None
    assert request.resolver_match is None
    assert request._post_parse_error is False
    assert request.scheme == "http"
    assert request.META["SERVER_NAME"] == "unknown"
    assert request.META["SERVER_PORT"] == "0"
    assert not {"REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "CONTENT_TYPE", "CONTENT_LENGTH"} & set(request.META)


def test_meta_holds_what_wsgi_promises_and_no_environment(monkeypatch):
    monkeypatch.setenv("FAIRWAY_TEST_SECRET", "x")
    request = make(
        method="post",
        path="/mount/a/",
        root_path="/mount",
        query_string=b"a=1&b=2",
        scheme="https",
        client=["1.2.3.4", 5678],
        server=["example.com", 443],
        headers=[[b"content-type", b"text/plain"], [b"content-length", b"2"], [b"x-thing", b"\xe9"]],
        body=b"hi",
    )
    meta = dict(request.META)
    assert meta.pop("wsgi.input").read() == b"hi"
    assert meta.pop("wsgi.errors") is sys.stderr
    assert meta == {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "a=1&b=2",
        "SCRIPT_NAME": "/mount",
        "PATH_INFO": "/a/",
        "REMOTE_ADDR": "1.2.3.4",
        "REMOTE_HOST": "1.2.3.4",
        "REMOTE_PORT": 5678,
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "2",
        "HTTP_X_THING": "\xe9",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    assert request.is_secure()
    assert request.body == b"hi"


@pytest.mark.parametrize(
    ("path", "root", "path_info"),
    [
        ("/mount/a", "/mount", "/a"),
        ("/mount", "/mount", "/"),
        ("/mount/", "/mount", "/"),
        ("/mountain", "/mount", "/mountain"),
        ("/other", "/mount", "/other"),
        ("/mount/a", "/mount/", "/a"),
        ("/a", "/", "/a"),
        ("", "", "/"),
    ],
)
def test_path_info_is_the_path_below_the_mount_point(path, root, path_info):
    request = make(path=path, root_path=root)
    assert request.path == path
    assert request.path_info == request.META["PATH_INFO"] == path_info


def test_force_script_name_wins(settings):
    settings.FORCE_SCRIPT_NAME = "/forced"
    request = make(path="/forced/a", root_path="/mount")
    assert (request.script_name, request.path_info) == ("/forced", "/a")


def test_bytes_path_and_text_query_and_dict_headers_of_old_producers():
    request = make(path="/\u00e9/".encode(), query_string="q=1", headers={"X-Old": b"yes"})
    assert request.path == "/\u00e9/"
    assert request.GET["q"] == "1"
    assert request.headers["x-old"] == "yes"


@pytest.mark.parametrize("wrong", [{"path": b"/\xff"}, {"query_string": b"\xff"}])
def test_what_is_no_utf8_is_refused(wrong):
    with pytest.raises(UnicodeDecodeError):
        make(**wrong)


@pytest.mark.parametrize("name", [b"x_user", b"X_User", b"x-remote_user", b"remote_user", b"content_length"])
def test_a_header_with_an_underscore_shadows_nothing(name):
    real = name.replace(b"_", b"-")
    request = make(headers=[[real, b"7"], [name, b"forged"]])
    assert "forged" not in request.META.values()
    assert request.headers[real.decode()] == "7"


def test_repeated_headers_are_joined_and_cookies_stay_cookies():
    request = make(headers=[[b"x-a", b"1"], [b"cookie", b"a=1"], [b"x-a", b"2"], [b"cookie", b"b=2"], [b"x-a", b"3"]])
    assert request.META["HTTP_X_A"] == "1,2,3"
    assert request.COOKIES == {"a": "1", "b": "2"}


def test_cookies_are_utf8():
    assert make(headers=[[b"cookie", "a=\u00e9".encode()]]).COOKIES == {"a": "\u00e9"}


def test_thousands_of_repeated_headers_take_linear_time():
    def seconds(number):
        headers = [[b"x-a", b"v" * 20]] * number
        best = 1.0
        for _ in range(5):
            start = time.perf_counter()
            add_headers({}, headers)
            best = min(best, time.perf_counter() - start)
        return best

    seconds(1_000)
    assert seconds(64_000) < 64 * seconds(1_000) * 4


def test_content_type_sets_the_encoding_and_an_unknown_charset_does_not():
    request = make(headers=[[b"content-type", b"text/plain; charset=iso-8859-1"]])
    assert (request.content_type, request.content_params) == ("text/plain", {"charset": "iso-8859-1"})
    assert request.encoding == "iso-8859-1"
    assert make(headers=[[b"content-type", b"text/plain; charset=nonsense"]]).encoding is None


def test_a_new_encoding_reads_the_query_again():
    request = make(query_string=b"a=%e9")
    assert request.GET["a"] == "\ufffd"
    request.encoding = "latin-1"
    assert request.GET["a"] == "\u00e9"


def test_post_is_parsed_and_assignable():
    form = [[b"content-type", b"application/x-www-form-urlencoded"]]
    request = make(method="POST", headers=form, body=b"a=1&a=2")
    assert request.POST.getlist("a") == ["1", "2"]
    assert not request.FILES
    request.POST = {"b": "3"}
    assert request.POST == {"b": "3"}
    assert not make(method="GET", headers=form, body=b"a=1").POST


def test_the_body_may_be_read_as_a_file_and_meta_keeps_its_own():
    request = make(method="POST", body=b"one\ntwo\n")
    assert request.readline() == b"one\n"
    assert list(request) == [b"two\n"]
    assert request.META["wsgi.input"].read() == b"one\ntwo\n"


def test_content_length_tells_the_truth_about_the_body():
    understated = make(method="POST", body=b"12345", headers=[[b"content-length", b"1"]])
    assert understated.META["CONTENT_LENGTH"] == "5"
    assert make(method="POST", body=b"12345").META["CONTENT_LENGTH"] == "5"
    assert make(method="POST", headers=[[b"content-length", b"0"]]).META["CONTENT_LENGTH"] == "0"


def test_a_body_that_is_no_bytes_is_the_producers_fault():
    with pytest.raises(AssertionError, match="a request body is bytes, not str"):
        make(body="text")


def test_response_later_is_at_hand_in_a_view():
    assert make().ResponseLater is ResponseLater


def test_close_closes_the_body():
    request = make(body=b"x")
    request.close()
    assert request.META["wsgi.input"].closed
