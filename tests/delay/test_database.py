"""Transactions that lock rows, and what becomes of the locks of a server that stands still."""

from dataclasses import replace

import pytest
from django.db import Error, connection, connections

from fairway.delay.database import can_share, database, locking
from fairway.delay.models import DelayedMessage
from fairway.delay.sending import Sender
from tests.delay.harness import QUICK, in_thread
from tests.support.waiting import wait_until


class Router:
    def db_for_write(self, model, **hints):
        return "messages"


def test_the_routers_say_where_the_table_is(settings):
    assert database() == "default"
    settings.DATABASE_ROUTERS = ["tests.delay.test_database.Router"]
    assert database() == "messages"


def test_where_servers_may_share_the_work(sqlite):
    assert not can_share("default")


def test_where_servers_share_the_work(postgresql):
    assert can_share("default")


def test_all_or_nothing(database):
    with pytest.raises(Error), locking("default", QUICK):  # noqa: PT012  the first is taken back with the second
        DelayedMessage(channel_name="reports", content={}, delay=1).save()
        DelayedMessage(channel_name=None, content={}, delay=1).save()
    assert not DelayedMessage.objects.exists()


def test_the_locks_of_a_server_that_stands_still_go(postgresql, layer, ears):
    DelayedMessage(channel_name="reports", content={"n": 1}, delay=-1).save()
    sender = Sender(layer, "default", QUICK)
    ended = []

    def send():
        try:
            wait_until(sender.send_due, "the row")
            ended.append(ears.take())
        finally:
            connections.close_all()

    with pytest.raises(Error), locking("default", replace(QUICK, stall=0.1)):  # noqa: PT012  it stands still
        assert DelayedMessage.objects.select_for_update().get().content == {"n": 1}
        thread = in_thread(send)
        thread.join(30)
        DelayedMessage.objects.count()
    connection.close()
    assert ended == [{"n": 1}]
