"""Threads for the blocking code of coroutine views."""

import asyncio
import threading
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

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


def open_connection():
    """Open this thread's connection, one that Django closes as it closes those of other databases."""
    connection.ensure_connection()
    connection.is_in_memory_db = lambda: False


def is_open():
    return connection.connection is not None


async def test_a_connection_that_is_too_old_is_closed_when_no_task_is_left(transactional_db):
    helpers, cursors = HelperThreads(1), []

    def select():
        open_connection()
        connection.close_at = time.monotonic() - 1
        cursors.append(connection.cursor())
        cursors[0].execute("SELECT 1 UNION SELECT 2")

    async with helpers.one():
        await sync_to_async(select)()
        async with helpers.one():  # begins and ends while the rows are read
            pass
        assert await sync_to_async(cursors[0].fetchall)() == [(1,), (2,)]
    async with helpers.one():
        assert not await sync_to_async(is_open)()
    helpers.close()


async def test_a_task_begins_with_a_connection_that_is_not_too_old(transactional_db):
    helpers = HelperThreads(1)

    def keep_for_a_while():
        open_connection()
        connection.close_at = None

    def grow_old():
        connection.close_at = time.monotonic() - 1

    async with helpers.one():
        await sync_to_async(keep_for_a_while)()
    helpers._all[0].executor.submit(grow_old)
    async with helpers.one():
        assert not await sync_to_async(is_open)()
    helpers.close()


@pytest.mark.parametrize("is_usable", [True, False])
async def test_a_broken_connection_is_closed_while_others_use_it(transactional_db, is_usable):
    helpers = HelperThreads(1)

    def fail():
        open_connection()
        connection.errors_occurred = True
        connection.is_usable = lambda: is_usable

    async with helpers.one():
        await sync_to_async(fail)()
        async with helpers.one():
            pass
        assert await sync_to_async(is_open)() == is_usable
        assert await sync_to_async(lambda: connection.errors_occurred)() != is_usable
    helpers.close()
