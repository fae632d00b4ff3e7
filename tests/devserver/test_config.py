"""The development server's configuration and its access log."""

import logging

import pytest

from fairway.devserver.config import bind_of, log_access, server_config
from fairway.server.config import Access


def test_the_configuration_comes_from_the_settings(settings):
    settings.FORCE_SCRIPT_NAME = "/shop/"
    settings.CSRF_TRUSTED_ORIGINS = ["https://example.com"]

    config = server_config(answer_timeout=5, connect_timeout=7)
    assert config.root_path == "/shop"
    assert config.trusted_origins == ["https://example.com"]
    assert config.limits.http.answer_timeout == 5
    assert config.limits.websocket.connect_timeout == 7
    assert config.limits.drain == 0
    assert server_config().limits.http.answer_timeout == 60


@pytest.mark.parametrize(
    ("action", "status", "text", "level"),
    [
        ("http", 200, "HTTP GET /a%20b 200 [0.25, 127.0.0.1:5000]", logging.INFO),
        ("http", 404, "HTTP GET /a%20b 404 [0.25, 127.0.0.1:5000]", logging.WARNING),
        ("http", 500, "HTTP GET /a%20b 500 [0.25, 127.0.0.1:5000]", logging.ERROR),
        ("http", 0, "HTTP GET /a%20b - [0.25, 127.0.0.1:5000]", logging.INFO),
        ("connecting", 0, "WebSocket HANDSHAKING /a%20b [127.0.0.1:5000]", logging.INFO),
        ("connected", 101, "WebSocket CONNECT /a%20b [127.0.0.1:5000]", logging.INFO),
        ("disconnected", 0, "WebSocket DISCONNECT /a%20b [127.0.0.1:5000]", logging.INFO),
        ("disconnected", 1001, "WebSocket DISCONNECT /a%20b [127.0.0.1:5000]", logging.INFO),
        ("rejected", 403, "WebSocket REJECT /a%20b [127.0.0.1:5000]", logging.WARNING),
    ],
)
def test_the_access_log(access_log, action, status, text, level):
    log_access(make_access(action, status))

    (record,) = access_log
    assert (record.getMessage(), record.levelno) == (text, level)
    assert record.status_code
    assert record.server_time


def test_the_access_log_shows_no_control_characters(access_log):
    log_access(make_access("http", 200, path="/\x1b[31m\n"))

    assert access_log[0].getMessage().startswith(r"HTTP GET /\x1b[31m\n 200")


def make_access(action, status, path="/a%20b"):
    return Access(
        action=action,
        client="127.0.0.1:5000",
        method="GET",
        path=path,
        http_version="1.1",
        status=status,
        size=10,
        seconds=0.25,
    )


@pytest.fixture
def access_log():
    """The records of Django's server log, which does not propagate."""
    records = []

    class Keep(logging.Handler):
        def emit(self, record):
            records.append(record)

    logger, handler = logging.getLogger("django.server"), Keep()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_addresses():
    assert bind_of(("0", 8000), ipv6=False) == "0.0.0.0:8000"
    assert bind_of(("localhost", 8000), ipv6=True) == "localhost:8000"
    assert bind_of(("::1", 8000), ipv6=True) == "[::1]:8000"
