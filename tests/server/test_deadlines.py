"""Deadlines: one for each object, exact to a tick, and no trace of what has none."""

import asyncio
import gc
import weakref

import pytest

from fairway.limits import UNLIMITED
from fairway.server import deadlines as module
from fairway.server.deadlines import Deadlines
from tests.support.waiting import await_until

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


class Alarm:
    """Something with a deadline; `again` is what its next calls return."""

    def __init__(self, *again):
        self.tick = 0
        self.calls = []
        self.again = list(again)

    def on_due(self, now):
        self.calls.append(now)
        answer = self.again.pop(0) if self.again else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def make():
    return Deadlines(asyncio.get_running_loop())


async def test_it_is_called_at_its_time_and_not_before():
    deadlines, alarm = make(), Alarm()
    began = asyncio.get_running_loop().time()
    deadlines.put(alarm, 0.1)
    await await_until(lambda: alarm.calls)
    assert 0.1 <= alarm.calls[0] - began < 0.3
    assert len(alarm.calls) == 1


async def test_what_it_returns_is_its_next_deadline():
    deadlines, alarm = make(), Alarm(0.02, 0, None)
    deadlines.put(alarm, 0.01)
    await await_until(lambda: len(alarm.calls) == 3)
    assert not len(deadlines)


async def test_a_later_put_replaces_the_deadline():
    deadlines, alarm = make(), Alarm()
    deadlines.put(alarm, 0.02)
    deadlines.put(alarm, 60)
    assert len(deadlines) == 1
    other = Alarm()
    deadlines.put(other, 0.05)
    await await_until(lambda: other.calls)
    assert not alarm.calls


@pytest.mark.parametrize("how", ["drop", "unlimited"])
async def test_a_deadline_can_be_taken_back(how):
    deadlines, alarm, other = make(), Alarm(), Alarm()
    deadlines.put(alarm, 0.02)
    deadlines.drop(alarm) if how == "drop" else deadlines.put(alarm, UNLIMITED)
    deadlines.drop(alarm)
    assert not len(deadlines)
    deadlines.put(other, 0.05)
    await await_until(lambda: other.calls)
    assert not alarm.calls


async def test_what_was_taken_back_is_not_kept():
    """A hundred thousand exchanges that ended would otherwise stay in memory until their time is over."""
    deadlines, alarm = make(), Alarm()
    deadlines.put(alarm, 3600)
    deadlines.put(alarm, 1800)
    deadlines.drop(alarm)
    seen = weakref.ref(alarm)
    del alarm
    gc.collect()
    assert seen() is None
    assert not deadlines._buckets


async def test_one_that_fails_is_logged_and_harms_no_other(caplog):
    deadlines = make()
    bad, good = Alarm(ValueError("broken")), Alarm()
    deadlines.put(bad, 0.01)
    deadlines.put(good, 0.01)
    await await_until(lambda: bad.calls and good.calls)
    assert "broken" in caplog.text


async def test_one_may_take_back_another_of_the_same_tick():
    deadlines = make()
    first, second = Alarm(), Alarm()
    for this, that in ((first, second), (second, first)):
        this.on_due = lambda now, this=this, that=that: (this.calls.append(now), deadlines.drop(that))[-1]
        deadlines.put(this, 0.01)
    await await_until(lambda: first.calls or second.calls)
    await asyncio.sleep(0.05)
    assert len(first.calls) + len(second.calls) == 1


async def test_the_timer_rests_when_nobody_has_a_deadline(monkeypatch):
    deadlines, alarm = make(), Alarm()
    deadlines.put(alarm, 0.01)
    await await_until(lambda: alarm.calls and deadlines._handle is None)
    before = deadlines.now
    await asyncio.sleep(module.TICK * 3)
    assert deadlines.now == before
    deadlines.put(alarm, 0)
    assert deadlines.now > before
    await await_until(lambda: len(alarm.calls) == 2)


async def test_closing_forgets_all():
    deadlines, alarm = make(), Alarm()
    deadlines.put(alarm, 0.01)
    deadlines.close()
    await asyncio.sleep(0.05)
    assert not alarm.calls
    assert not len(deadlines)
    deadlines.close()


async def test_the_same_deadline_again_costs_nothing():
    deadlines, alarm = make(), Alarm()
    deadlines.put(alarm, 60)
    deadlines._buckets[alarm.tick] = frozenset({alarm})  # which nobody can change
    deadlines.put(alarm, 60)
    assert len(deadlines) == 1
    deadlines.close()
