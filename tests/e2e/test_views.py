"""The examples of the django-websocket document, from a Python client and from Chromium, fifty sockets at once."""

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.view_site import ViewSite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

FIFTY = 50

SCRIPT = """
async ([url, count, texts]) => {
  const talk = (number) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url), heard = [];
    socket.onopen = () => texts.forEach((text) => socket.send(text + number));
    socket.onmessage = ({ data }) => {
      heard.push(data);
      if (heard.length === texts.length && texts.length > 1) socket.close(1000);
    };
    socket.onclose = ({ code }) => resolve([code, heard]);
    socket.onerror = () => reject(new Error("socket " + number));
  });
  return Promise.all(Array.from({ length: count }, (_, number) => talk(number)));
}
"""


@pytest.fixture(scope="module", params=["runserver --multithreaded", "runserver --noreload", "serve and runworker"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewSite]:
    """The project, served in each way."""
    site = ViewSite(tmp_path_factory.mktemp("v"))
    with ExitStack() as stack:
        if request.param.startswith("runserver"):
            program = stack.enter_context(site.runserver(*request.param.split()[1:]))
        else:
            stack.enter_context(site.serve())
            program = stack.enter_context(site.worker())
        yield site
        assert "Traceback" not in program.output(), program.output()


def test_echo_once_from_python(site: ViewSite) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(site.url("echo_once/"))) for _ in range(FIFTY)]
        for number, client in enumerate(clients):
            client.send(f"message {number}")
        assert [client.recv(10) for client in clients] == [f"message {number}" for number in range(FIFTY)]
        for client in clients:
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1000


@pytest.mark.parametrize("where", ["lower_case/", "alower_case/"])
def test_lower_case_from_python(site: ViewSite, where: str) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(site.url(where))) for _ in range(FIFTY)]
        for turn in range(3):
            for number, client in enumerate(clients):
                client.send(f"TURN {turn} OF {number}")
            assert [client.recv(10) for client in clients] == [f"turn {turn} of {number}" for number in range(FIFTY)]


def test_the_same_view_answers_a_plain_request(site: ViewSite) -> None:
    with urllib.request.urlopen(site.url("lower_case/?message=HELLO", "http"), timeout=10) as response:
        assert response.read() == b"hello"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(site.url("echo_once/", "http"), timeout=10)
    refused.value.close()
    assert refused.value.code == 400
    with pytest.raises(InvalidStatus) as no_socket:
        connect(site.url(""))
    assert no_socket.value.response.status_code == 400


def test_both_from_chromium(site: ViewSite, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(site.url("", "http"))
    said = page.evaluate(SCRIPT, [site.url("echo_once/"), FIFTY, ["Hello "]])
    assert said == [[1000, [f"Hello {number}"]] for number in range(FIFTY)]
    said = page.evaluate(SCRIPT, [site.url("lower_case/"), FIFTY, ["ONE ", "Two "]])
    assert said == [[1000, [f"one {number}", f"two {number}"]] for number in range(FIFTY)]
