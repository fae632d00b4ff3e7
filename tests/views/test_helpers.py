"""Threads for the blocking code of coroutine views."""

import asyncio
import threading

from asgiref.sync import sync_to_async

from fairway.views.helpers import HelperThreads
from tests.support.waiting import wait_until


def here():
    return threading.current_thread().name


async def test_all_blocking_code_of_a_task_runs_in_one_of_them():
    helpers = HelperThreads(2)

    async def view():
        async with helpers.one():
            return {await sync_to_async(here)() for _ in range(3)}

    found = await asyncio.gather(*(view() for _ in range(5)))
    assert all(len(names) == 1 for names in found)
    assert {name[:20] for names in found for name in names} == {"fairway-view-helper-"}
    assert len(set.union(*found)) == 2
    helpers.close()


async def test_a_nested_use_and_what_follows_are_apart():
    helpers = HelperThreads(1)
    async with helpers.one():
        pass
    assert not (await sync_to_async(here)()).startswith("fairway-view-helper")
    helpers.close()


async def test_they_begin_and_end_with_their_database_connections(monkeypatch):
    seen = []
    monkeypatch.setattr("fairway.views.helpers.close_connections", lambda: seen.append("end"))
    helpers = HelperThreads(2, lambda: seen.append("begin"))
    async with helpers.one():
        assert seen[:1] in ([], ["begin"])
        await sync_to_async(here)()
    helpers.close()
    wait_until(lambda: seen == ["begin", "end"])  # the other thread was never begun
