"""`fairway.wire.origin`: who may open a WebSocket with a user's cookies. Denied unless it is plainly right."""

import pytest
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory, override_settings
from hypothesis import given
from hypothesis import strategies as st

from fairway.wire.origin import check_origin

TRUSTED = [
    "https://trusted.example",
    "https://*.example.com",
    "http://dev.example:8000",
    "https://*.ports.example:8443",
]


def allowed(origin, scheme="wss", host=b"app.example", trusted=()):
    return check_origin(origin, scheme=scheme, host=host, trusted=trusted)


@pytest.mark.parametrize(
    ("origin", "scheme", "host"),
    [
        (b"https://app.example", "wss", b"app.example"),
        (b"https://app.example", "https", b"app.example"),
        (b"http://app.example", "ws", b"app.example"),
        (b"http://app.example", "http", b"app.example"),
        (b"https://app.example:443", "wss", b"app.example"),
        (b"https://app.example", "wss", b"app.example:443"),
        (b"http://app.example", "ws", b"app.example:80"),
        (b"http://localhost:8000", "ws", b"localhost:8000"),
        (b"HTTPS://APP.example", "wss", b"app.EXAMPLE"),
        (b"http://[::1]:8000", "ws", b"[::1]:8000"),
        (None, "wss", b"app.example"),
    ],
)
def test_the_same_origin_and_none_are_allowed(origin, scheme, host):
    assert allowed(origin, scheme, host)


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"http://app.example",
        b"https://app.example:444",
        b"https://sub.app.example",
        b"https://example",
        b"https://evilapp.example",
        b"https://app.example.evil.example",
        b"https://app.example@evil.example",
        b"https://evil.example/app.example",
        b"https://app.example/",
        b"https://app.example?",
        b"https://app.example#",
        b"https://app.example.",
        b"https://app.example ",
        b" https://app.example",
        b"https://app.example https://evil.example",
        b"https://app.example,https://app.example",
        b"https://app.example:",
        b"https://app.example:0443x",
        b"https://app.example:999999",
        b"wss://app.example",
        b"file://app.example",
        b"https:app.example",
        b"//app.example",
        b"app.example",
        b"https://",
        b"https://app.example\n",
        b"https://app\x00.example",
        b"https://\xe9pp.example",
        b"https://*.example",
        b"*",
    ],
)
def test_other_and_odd_origins_are_denied(origin):
    assert not allowed(origin)
    assert not allowed(origin, trusted=TRUSTED)


@pytest.mark.parametrize(
    "origin",
    [
        b"https://trusted.example",
        b"https://trusted.example:443",
        b"https://a.example.com",
        b"https://a.b.example.com",
        b"https://example.com",
        b"http://dev.example:8000",
        b"https://a.ports.example:8443",
    ],
)
def test_trusted_origins(origin):
    assert allowed(origin, trusted=TRUSTED)
    assert not allowed(origin)


@pytest.mark.parametrize(
    "origin",
    [
        # CVE-2022-42975.
        b"https://evilexample.com",
        b"https://example.com.evil.example",
        b"http://a.example.com",
        b"https://a.example.com:8443",
        b"https://sub.trusted.example",
        b"http://trusted.example",
        b"http://dev.example",
        b"https://a.ports.example",
        b"null",
    ],
)
def test_what_resembles_a_trusted_origin(origin):
    assert not allowed(origin, trusted=TRUSTED)


@pytest.mark.parametrize(
    "entry", ["", "*", "https://*", "example.com", "https://*example.com", "null", "https://a.*.com"]
)
def test_a_malformed_entry_matches_nothing(entry):
    for origin in (b"https://example.com", b"https://evilexample.com", b"https://a.b.com", b"null", b"*"):
        assert not allowed(origin, trusted=[entry])


def test_an_odd_host_or_scheme_of_the_request_matches_nothing():
    assert not allowed(b"https://app.example", host=b"")
    assert not allowed(b"https://app.example", host=b"app.example/")
    assert not allowed(b"https://app.example", scheme="gopher")


HOSTS = st.sampled_from(["app.example", "a.example.com", "example.com", "evilexample.com", "trusted.example"])
PORTS = st.sampled_from(["", ":8443", ":8000"])


@given(scheme=st.sampled_from(["http", "https"]), host=HOSTS, port=PORTS, secure=st.booleans())
def test_django_agrees(scheme, host, port, secure):
    origin = f"{scheme}://{host}{port}"
    with override_settings(CSRF_TRUSTED_ORIGINS=TRUSTED, ALLOWED_HOSTS=["*"]):
        request = RequestFactory().post("/", secure=secure, headers={"host": "app.example", "origin": origin})
        django = CsrfViewMiddleware(lambda request: None)._origin_verified(request)
    own = check_origin(origin.encode(), scheme="wss" if secure else "ws", host=b"app.example", trusted=TRUSTED)
    assert own == django


@given(st.binary(max_size=40))
def test_any_bytes_are_an_answer(origin):
    assert not allowed(origin, trusted=TRUSTED)
