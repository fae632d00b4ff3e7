"""The browser client in Chromium, on a real server and a real worker, each of which is killed and comes back."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Site
from tests.support.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="system Chromium is a Debian matter")]

CONNECT = """
async (options) => {
  const client = Fairway.connect("/ws/rohrpost/", { timeout: 50000, ...options });
  const story = [];
  client.on("close", ({ code, willReconnect }) => story.push(`close ${code} ${willReconnect}`));
  client.on("open", () => story.push("open"));
  client.on("error", (error) => story.push(String(error)));
  Object.assign(globalThis, { client, story, settled: {}, pushes: [] });
  // Begins something whose end a test looks at later.
  globalThis.begin = (name, promise) => {
    promise.then((value) => { settled[name] = value; }, (error) => { settled[name] = String(error); });
  };
  await new Promise((resolve) => client.once("open", resolve));
}
"""


class Tab:
    """A page with a client."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def run(self, script: str, argument: object = None) -> Any:
        """Return what a promise of the page becomes."""
        return self.page.evaluate(script, argument)

    def wait_for(self, condition: str) -> None:
        self.page.wait_for_function(condition, timeout=20_000)

    @property
    def story(self) -> list[str]:
        return self.run("story")

    @property
    def settled(self) -> dict[str, Any]:
        return self.run("settled")


@pytest.fixture
def site() -> Iterator[Site]:
    """The project, not started yet. A hub's path is short, so it is not in pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="client-") as folder:
        yield Site(free_port(), Path(folder))


@pytest.fixture
def server(site):
    with site.server() as server:
        yield server


@pytest.fixture
def worker(site, server):
    with site.worker() as worker:
        yield worker


@pytest.fixture
def tab(browser, site, worker) -> Iterator[Tab]:
    """A tab whose client is open. An error in the script of its page fails the test."""
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.url)
    page.wait_for_function("globalThis.module")
    page.evaluate(CONNECT)
    yield Tab(page)
    assert errors == []


def test_a_request_an_error_and_a_ping(tab) -> None:
    assert tab.run("client.request('echo', {text: 'Grüße'})") == {"echo": {"text": "Grüße"}}
    assert tab.run("client.ping()") > 0
    told = tab.run("Promise.all(['fail', 'unheard'].map((type) => client.request(type).catch((error) => error.name)))")
    assert told == ["RequestFailed", "RequestFailed"]
    assert tab.story == ["open"]


def test_the_module_is_the_same_as_the_plain_script(tab) -> None:
    assert tab.run("Object.keys(module).sort().join()") == tab.run("Object.keys(Fairway).sort().join()")
    found = tab.run("module.connect('/ws/rohrpost/', {token: async () => 'secret'}).request('whoami')")
    assert found["token"] == "secret"


def test_a_group_tells_its_listeners_and_a_refused_one_nobody(tab) -> None:
    board = {"type": "board", "id": 7}
    tab.run("async (board) => { globalThis.end = await client.subscribe(board, (push) => pushes.push(push)); }", board)
    refused = tab.run("client.subscribe({type: 'board', id: 100}, () => {}).catch((error) => error.name)")
    assert refused == "RequestFailed"
    tab.run("client.request('announce', ['board-7', {id: 7}])")
    tab.wait_for("pushes.length")
    assert tab.run("pushes") == [{"type": "update", "group": "board-7", "object": {"id": 7}}]
    tab.run("end()")
    tab.run("client.request('announce', ['board-7', {id: 8}])")
    assert tab.run("pushes.length") == 1


@pytest.mark.faults
@pytest.mark.parametrize(
    ("sig", "code", "reason"), [(signal.SIGKILL, 1006, ""), (signal.SIGTERM, 1012, "service restart")]
)
def test_a_server_restarts(tab, site, server, sig, code, reason) -> None:
    tab.run("async () => { await client.subscribe({type: 'board', id: 7}, ({object}) => pushes.push(object)); }")
    tab.run("begin('lost', client.request('slow'))")
    tab.run("begin('again', client.request('slow', null, {idempotent: true}))")
    server.stop(sig)
    tab.wait_for("client.state !== 'open' && settled.lost")
    tab.run("begin('asked without a connection', client.request('echo', 1))")
    site.let_go()
    with site.server():
        tab.wait_for("Object.keys(settled).length === 3")
        tab.run("client.request('announce', ['board-7', {id: 7}])")
        tab.wait_for("pushes.length")
        first, lost, *_, last = tab.story
    assert [first, lost, last] == ["open", f"close {code} true", "open"]
    assert tab.settled == {
        "lost": f"ConnectionLost: {code} {reason}",
        "again": {"attempt": 1},
        "asked without a connection": {"echo": 1},
    }


@pytest.mark.faults
def test_a_worker_restarts_and_nobody_notices(tab, site, worker) -> None:
    tab.run("begin('slow', client.request('slow'))")
    tab.run("begin('next', client.request('echo', 1))")
    worker.wait_for_output("slow begins")
    worker.stop(signal.SIGKILL)
    site.let_go()
    with site.worker():
        tab.wait_for("settled.next")
    assert tab.settled == {"slow": {"attempt": 2}, "next": {"echo": 1}}
    assert tab.story == ["open"]


@pytest.mark.faults
def test_offline_nothing_is_tried_and_online_it_is_at_once(tab, site, server) -> None:
    tab.page.context.set_offline(True)
    server.stop(signal.SIGKILL)
    tab.wait_for("client.state === 'paused'")
    tab.run("begin('offline', client.request('echo', 1))")
    with site.server():
        tab.page.context.set_offline(False)
        tab.wait_for("settled.offline")
        assert tab.story[-1] == "open"
    assert tab.settled == {"offline": {"echo": 1}}


def test_an_answer_may_be_slow(tab, site) -> None:
    late = tab.run("client.request('slow', null, {timeout: 200}).catch((error) => error.name)")
    tab.run("begin('next', client.request('echo', 1))")
    site.let_go()
    tab.wait_for("settled.next")
    assert (late, tab.settled, tab.story) == ("TimedOut", {"next": {"echo": 1}}, ["open"])


def test_answers_may_be_wrong(tab) -> None:
    nonsense = ["<html>", "[]", "17", "null", '{"type": "subscription-update"}', '{"error": {"code": 7}}']
    assert tab.run("(texts) => client.request('nonsense', texts)", nonsense) == {"sane": True}
    assert tab.story == [
        "open",
        "BadFrame: bad frame: <html>",
        "BadFrame: bad frame: []",
        "BadFrame: bad frame: 17",
        "BadFrame: bad frame: null",
        'BadFrame: bad frame: {"type":"subscription-update"}',
        'RequestFailed: {"code":7}',
    ]


def test_10_000_requests_are_under_way_at_once(tab) -> None:
    count = 10_000
    answers = tab.run("(n) => Promise.all([...Array(n).keys()].map((i) => client.request('echo', i)))", count)
    assert [answer["echo"] for answer in answers] == list(range(count))
    assert tab.story == ["open"]


def test_who_is_told_to_stay_away_does_until_asked_otherwise(tab) -> None:
    tab.run("client.request('hang_up', 4401).catch((error) => error.name)")
    tab.wait_for("client.state === 'closed'")
    assert tab.story == ["open", "close 4401 false"]
    tab.run("client.reconnect()")
    assert tab.run("client.request('echo', 1)") == {"echo": 1}


def test_streams(tab) -> None:
    heard = tab.run("""
        () => new Promise((resolve) => {
            const streams = Fairway.connect("/ws/streams/", { heartbeat: 0 });
            streams.on("error", (error) => { globalThis.wrong = [error.name, error.frame.stream]; });
            streams.stream("nowhere").send({});
            const chat = streams.stream("chat");
            chat.on(resolve);
            chat.send({ text: "Ahoy" });
        })
    """)
    assert heard == {"heard": "Ahoy"}
    assert tab.run("wrong") == ["RequestFailed", "nowhere"]


def test_the_clients_of_rohrpost_and_of_channels_1(tab) -> None:
    told = tab.run("""
        async () => {
            const client = new RohrpostClient(`ws://${location.host}/ws/rohrpost/`, { token: "secret" });
            const told = [];
            client.on("board-7", (error, { object }) => told.push([error, object]));
            told.push(await client.subscribe({ type: "board", id: 7 }));
            told.push((await client.call("whoami")).token);
            await client.call("announce", ["board-7", { id: 7 }]);
            told.push(await client.unsubscribe({ type: "board", id: 7 }));
            client.close();
            return told;
        }
    """)
    thing = {"group": "board-7", "type": "board", "id": 7}
    assert sorted(map(str, told)) == sorted(map(str, [thing, "secret", [None, {"id": 7}], thing]))
    heard = tab.run("""
        () => new Promise((resolve) => {
            const bridge = new channels.WebSocketBridge();
            bridge.connect("/ws/streams/");
            bridge.listen();
            bridge.demultiplex("chat", (payload, stream) => resolve([payload, stream]));
            bridge.socket.addEventListener("open", () => bridge.stream("chat").send({ text: "Ahoy" }));
        })
    """)
    assert heard == [{"heard": "Ahoy"}, "chat"]
