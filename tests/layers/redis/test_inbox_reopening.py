"""A thread tries until Redis is there again; what it is told, and what becomes of lines that nobody wants any more."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from fairway.layers.redis.inbox_opening import Lines, Ownership, open_lines, owner_in
from fairway.layers.redis.inbox_reopening import FIRST_PAUSE, STEADY, Reopening, in_thread
from fairway.layers.redis.layer import RedisLayer
from tests.support.redis import RedisServer
from tests.support.waiting import await_until, wait_until


@pytest.fixture
def layer(own_redis: RedisServer) -> Iterator[RedisLayer]:
    layer = RedisLayer(own_redis.url)
    yield layer
    layer.close()


def reopening(layer: RedisLayer, found: list[Lines]) -> Reopening:
    ownership = Ownership("me")
    open_lines(layer, ["s!"], ownership).close()
    return Reopening(layer, ["s!"], ownership, asyncio.get_running_loop(), found.append)


async def test_lines_are_handed_over_on_the_loop(layer: RedisLayer, own_redis: RedisServer) -> None:
    found: list[Lines] = []
    trying = reopening(layer, found)
    own_redis.kill()
    trying.start()
    await await_until(lambda: trying._pause > 10 * FIRST_PAUSE)
    await asyncio.to_thread(own_redis.start)
    await await_until(lambda: found)
    found[0].close()
    assert trying._pause > FIRST_PAUSE


async def test_lines_that_lasted_are_soon_made_again(layer: RedisLayer) -> None:
    found: list[Lines] = []
    trying = reopening(layer, found)
    for turn, since in enumerate([0.0, 0.0, STEADY + 1], 1):
        trying._since -= since
        trying.start()
        await await_until(lambda turn=turn: len(found) == turn)  # type: ignore[misc]
    assert trying._pause == 2 * FIRST_PAUSE
    for lines in found:
        lines.close()


def take_rights(server: RedisServer) -> None:
    server.call("ACL", "SETUSER", "default", "-evalsha")


def demand_password(server: RedisServer) -> None:
    server.call("CONFIG", "SET", "requirepass", "secret")


@pytest.mark.parametrize(("spoil", "words"), [(take_rights, "NOPERM"), (demand_password, "NOAUTH")])
async def test_a_refusal_is_told_once(
    layer: RedisLayer,
    own_redis: RedisServer,
    spoil: Callable[[RedisServer], None],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found: list[Lines] = []
    trying = reopening(layer, found)
    spoil(own_redis)
    trying.start()
    await await_until(lambda: trying._pause > 10 * FIRST_PAUSE)
    trying.stop()
    [told] = [text for text in caplog.messages if f":{own_redis.port}" in text]
    assert words in told
    assert found == []


async def test_being_away_is_not_told(
    layer: RedisLayer, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    trying = reopening(layer, [])
    own_redis.kill()
    trying.start()
    await await_until(lambda: trying._pause > 10 * FIRST_PAUSE)
    trying.stop()
    told = [record for record in caplog.records if f":{own_redis.port}" in record.getMessage()]
    assert told == []


def test_a_loop_that_has_ended(layer: RedisLayer, own_redis: RedisServer) -> None:
    """The prefixes are given up again."""

    async def main() -> Reopening:
        return reopening(layer, [])

    with asyncio.Runner() as runner:
        trying = runner.run(main())
    trying.start()
    wait_until(lambda: owner_in(own_redis.call("GET", layer.shards.key("s!", "state"))) == "")


def test_a_thread_of_its_own() -> None:
    ran: list[threading.Thread] = []
    in_thread(lambda: ran.append(threading.current_thread()))
    wait_until(lambda: ran)
    assert ran[0] is not threading.main_thread()
    assert not ran[0].daemon


def test_no_thread_when_the_interpreter_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    ran: list[threading.Thread] = []
    in_thread(lambda: ran.append(threading.current_thread()))
    assert ran == [threading.current_thread()]
