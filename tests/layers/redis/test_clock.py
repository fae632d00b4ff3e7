"""The clock of a layer: what is due first is looked at first, signs come of themselves, and a failure ends nothing."""

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from fairway.layers.redis.clock import Clock
from tests.support.waiting import wait_until

NEVER = 3_600.0


class Heard:
    """A clock, and what it has called."""

    def __init__(self, every: float, on_due: Callable[[str], None] = lambda shard: None) -> None:
        self.calls: list[str] = []
        self._on_due = on_due
        self.clock = Clock(self._due, lambda: self.calls.append("sign"), every)

    def _due(self, shard: str) -> None:
        self.calls.append(shard)
        self._on_due(shard)

    def wait(self, count: int) -> list[str]:
        wait_until(lambda: len(self.calls) >= count, lambda: f"{count} calls in {self.calls}")
        return self.calls


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard(NEVER)
    yield made
    made.clock.close()


def test_what_is_due_earlier_is_looked_at_earlier(heard: Heard) -> None:
    heard.clock.note("later", 0.3)
    heard.clock.note("earlier", 0.05)
    assert heard.wait(2) == ["earlier", "later"]


def test_a_shard_is_looked_at_when_it_is_due_first(heard: Heard) -> None:
    """And not again for what was noted before, or later than that."""
    heard.clock.note("a", 1_000.0)
    heard.clock.note("a", 0.05)
    heard.clock.note("a", 500.0)
    heard.clock.note("b", 0.1)
    assert heard.wait(2) == ["a", "b"]


def test_a_shard_may_be_due_again(heard: Heard) -> None:
    heard.clock.note("a", 0.0)
    heard.wait(1)
    heard.clock.note("a", 0.0)
    assert heard.wait(2) == ["a", "a"]


def test_what_is_due_after_the_next_sign_is_the_signs_business() -> None:
    heard = Heard(0.05)
    heard.clock.note("a", 0.06)
    assert heard.clock._thread is None
    heard.clock.start()
    assert heard.wait(3) == ["sign", "sign", "sign"]
    heard.clock.close()


def test_signs_go_on_between_what_is_due() -> None:
    heard = Heard(0.05)
    heard.clock.start()
    thread = heard.clock._thread
    heard.clock.start()
    assert heard.clock._thread is thread
    wait_until(lambda: heard.calls.count("sign") >= 2)
    heard.clock.note("a", 0.0)
    wait_until(lambda: heard.calls.count("sign") >= 4)
    assert heard.calls.count("a") == 1
    heard.clock.close()


def test_a_failure_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(shard: str) -> None:
        raise ValueError(shard)

    heard = Heard(NEVER, fail)
    heard.clock.note("a", 0.0)
    heard.wait(1)
    heard.clock.note("b", 0.0)
    assert heard.wait(2) == ["a", "b"]
    wait_until(lambda: len(caplog.records) == 2, "two log entries")
    assert {record.getMessage() for record in caplog.records} == {"the clock of a layer failed; it goes on"}
    heard.clock.close()


def test_a_clock_that_is_closed_calls_nobody(heard: Heard) -> None:
    heard.clock.start()
    thread = heard.clock._thread
    assert thread
    heard.clock.close()
    thread.join(30)
    assert not thread.is_alive()
    heard.clock.note("a", 0.0)
    assert heard.calls == []


def test_a_forked_process_has_a_clock_of_its_own(heard: Heard) -> None:
    heard.clock.note("parent's", 0.5)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            heard.clock.start_anew()
            heard.clock.note("child's", 0.0)
            status = 0 if heard.wait(1) == ["child's"] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert heard.wait(1) == ["parent's"]


def test_a_process_that_ends_has_no_clock(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python starts no threads any more then: what is due is the business of others."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    heard.clock.note("a", 0.0)
    assert heard.calls == []
