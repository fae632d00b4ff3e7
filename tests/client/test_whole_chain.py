"""The client on a real server and a real worker, each of which is killed and comes back, in the browser's project."""

import asyncio
import dataclasses
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from fairway.client import Push, connect
from fairway.errors import BadFrame, ClientClosed, ConnectionLost, RequestFailed, TimedOut
from fairway.limits import ClientLimits
from tests.e2e.client import Site
from tests.support.processes import free_port
from tests.support.waiting import await_until

BOARD = {"type": "board", "id": 7}

pytestmark = pytest.mark.timeout(120)


class Project:
    """The project; its server and its worker may be started again."""

    def __init__(self, site, stack):
        self.site = site
        self._stack = stack
        self.server = stack.enter_context(site.server())
        self.worker = stack.enter_context(site.worker())

    def client(self, path="ws/rohrpost/", **options):
        limits = dataclasses.replace(ClientLimits(), timeout=60)
        return connect(self.site.url + path, **{"limits": limits, **options})

    def start_server(self):
        self.server = self._stack.enter_context(self.site.server())

    def start_worker(self):
        self.worker = self._stack.enter_context(self.site.worker())


@pytest.fixture
def project():
    with tempfile.TemporaryDirectory(prefix="client-", dir="/tmp") as folder, ExitStack() as stack:
        yield Project(Site(free_port(), Path(folder)), stack)


@pytest.mark.usefixtures("loop_factory")
async def test_requests_subscriptions_and_pushes(project):
    async with project.client(token="secret") as client:
        assert await client.request("echo", {"text": "Grüße"}) == {"echo": {"text": "Grüße"}}
        assert (await client.request("whoami"))["token"] == "secret"
        assert await client.ping() > 0
        for kind, text in [("fail", "The handler of 'fail' failed"), ("unheard", "Unknown message type 'unheard'")]:
            with pytest.raises(RequestFailed, match=text):
                await client.request(kind)
        pushes = client.pushes()
        async with client.subscribe(BOARD) as changes:
            await client.request("announce", ["board-7", {"title": "Sail"}])
            assert await anext(changes) == await anext(pushes) == Push("update", "board-7", {"title": "Sail"})
        await client.request("announce", ["board-7", "nobody hears it"])
        assert await client.ping() > 0
        assert len(pushes) == 0
        with pytest.raises(RequestFailed, match="You may not subscribe to 'board'"):
            await client.subscribe({"type": "board", "id": 700})


async def test_streams_of_a_demultiplexer(project):
    async with project.client("ws/streams/") as client:
        errors = []
        client.on("error", errors.append)
        chat, unknown = client.stream("chat"), client.stream("unknown")
        await unknown.send({})
        await chat.send({"text": "Ahoy"})
        assert await anext(chat) == {"heard": "Ahoy"}
        (error,) = errors
        assert (type(error), error.frame["stream"]) == (RequestFailed, "unknown")


async def test_a_worker_that_is_killed_costs_nothing_but_time(project):
    async with project.client() as client:
        before = await client.request("whoami")
        async with client.subscribe(BOARD) as changes:
            slow = asyncio.create_task(client.request("slow"))
            await await_until(lambda: "slow begins" in project.worker.output())
            project.worker.stop(signal.SIGKILL)
            waiting = asyncio.create_task(client.request("whoami"))
            project.site.let_go()
            project.start_worker()
            assert await slow == {"attempt": 2}
            assert (await waiting)["worker"] != before["worker"]
            await client.request("announce", ["board-7", "after"])
            assert (await anext(changes)).object == "after"
        assert client.state == "open"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_a_server_that_restarts_gets_the_client_back_with_its_groups(project, how):
    closings = []
    async with project.client() as client, client.subscribe(BOARD) as changes:
        client.on("close", closings.append)
        # A server that stops in good order lets the worker finish first.
        kind = "slow" if how == signal.SIGKILL else "whoami"
        harmless = asyncio.create_task(client.request(kind, idempotent=True))
        if kind == "slow":
            await await_until(lambda: "slow begins" in project.worker.output())
        await asyncio.to_thread(project.server.stop, how)
        await await_until(lambda: closings)
        queued = asyncio.create_task(client.request("echo", "meanwhile"))
        await asyncio.sleep(0)
        project.site.let_go()
        project.start_server()
        assert await queued == {"echo": "meanwhile"}
        assert await harmless
        await client.request("announce", ["board-7", "after"])
        assert (await anext(changes)).object == "after"
        assert client.statistics == (0, 0, 0)
    expected = {1012} if how == signal.SIGTERM else {1006}
    assert {closings[0].code} == expected
    assert closings[0].will_reconnect


async def test_what_is_under_way_is_lost_with_the_server(project):
    async with project.client() as client:
        slow = asyncio.create_task(client.request("slow"))
        await await_until(lambda: "slow begins" in project.worker.output())
        project.server.stop(signal.SIGKILL)
        with pytest.raises(ConnectionLost, match="the connection broke before the request 'slow' was settled"):
            await slow
        project.site.let_go()


async def test_a_slow_answer_is_given_up_and_disturbs_nobody_when_it_comes(project):
    async with project.client() as client:
        with pytest.raises(TimedOut):
            await client.request("slow", timeout=0.1)
        project.site.let_go()
        assert await client.request("echo", 1) == {"echo": 1}


async def test_nonsense_and_wrong_answers_disturb_nobody(project):
    errors = []
    async with project.client() as client:
        client.on("error", errors.append)
        assert await client.request("nonsense", ["nonsense", "[]", "null", '{"error": "by the way"}']) == {"sane": True}
        assert await client.request("echo", 1) == {"echo": 1}
    assert [type(error) for error in errors] == [BadFrame, BadFrame, BadFrame, RequestFailed]


async def test_a_code_of_the_application_is_an_answer(project):
    async with project.client() as client:
        with pytest.raises(ClientClosed, match="4001"):
            await client.request("hang_up", 4001)
        assert client.state == "closed"


async def test_ten_thousand_in_flight_and_a_worker_that_dies_among_them(project):
    async with project.client(limits=dataclasses.replace(ClientLimits(), timeout=110)) as client:
        await client.wait_open()
        numbers = range(10_000)
        tasks = [asyncio.create_task(client.request("echo", number)) for number in numbers]
        await await_until(lambda: client.statistics.in_flight > 0 and any(task.done() for task in tasks))
        project.worker.stop(signal.SIGKILL)
        project.start_worker()
        assert await asyncio.gather(*tasks) == [{"echo": number} for number in numbers]
        assert client.statistics == (0, 0, 0)
