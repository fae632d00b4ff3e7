"""Which connections are looked at around a message, and what becomes of them."""

import threading
import time

import pytest
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, reset_queries, transaction
from django.test.utils import CaptureQueriesContext

from fairway.database import care_by_message, close_connections, opened_connections, tend_connections


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def open_connection():
    """Open this thread's connection, one that Django closes as it closes those of other databases."""
    connection.ensure_connection()
    connection.is_in_memory_db = lambda: False


@pytest.fixture
def database(transactional_db, django_db_blocker):
    with django_db_blocker.unblock():
        yield


@pytest.mark.django_db
def test_inside_a_transaction_nothing_is_touched():
    with transaction.atomic():
        connection.close_at = time.monotonic() - 1
        tend_connections(opened_connections())
        assert connection.connection is not None
        connection.close_at = None


def test_a_connection_that_is_too_old_is_closed_and_its_queries_forgotten(database):
    seen = []

    def consume():
        open_connection()
        connection.queries_log.append({"sql": "SELECT 1"})
        connection.close_at = time.monotonic() - 1
        tend_connections(opened_connections())
        seen.extend([connection.connection, len(connection.queries_log)])

    in_a_thread(consume)
    assert seen == [None, 0]


def test_queries_that_a_test_counts_are_kept(database):
    seen = []

    def consume():
        open_connection()
        with CaptureQueriesContext(connection) as queries:
            connection.cursor().execute("SELECT 1")
            tend_connections(opened_connections())
        seen.append(len(queries))
        connection.close()

    in_a_thread(consume)
    assert seen == [1]


def test_a_thread_that_ends_leaves_no_connection(database):
    seen = []

    def consume():
        open_connection()
        close_connections()
        seen.append(connection.connection)
        tend_connections(opened_connections())

    in_a_thread(consume)
    assert seen == [None]


def receivers():
    return {receiver for signal in (request_started, request_finished) for receiver in signal._live_receivers(None)[0]}


LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
MEMCACHED = "django.core.cache.backends.memcached.PyMemcacheCache"


@pytest.mark.parametrize(
    ("backends", "taken"),
    [
        ([LOCMEM], {close_caches}),
        ([LOCMEM, MEMCACHED], set()),
        (["no.such.Cache"], set()),
    ],
)
def test_a_worker_process_takes_the_care_of_connections_over_from_djangos_requests(settings, backends, taken):
    settings.CACHES = {f"cache{number}": {"BACKEND": backend} for number, backend in enumerate(backends)}
    before = receivers()
    taken = {close_old_connections, reset_queries, *taken}
    assert taken <= before
    with care_by_message():
        assert receivers() == before - taken
    assert receivers() == before
