"""A ticket through its consumer."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.utils import timezone

from fairway import Message
from fairway.broker.effects import Envelope
from fairway.conf import channel_layers
from fairway.errors import InvalidMessage
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.tasks import claims
from fairway.tasks.consumers import LOSSES, RETRY, UNKNOWN, TaskUnknown, consume_ticket
from fairway.tasks.models import Place, Status, TaskRecord
from fairway.testing import Client
from tests.tasks import jobs
from tests.tasks.conftest import TASKS

TICKET = {"backend": "default", "queue": "default"}


@pytest.fixture
def consume(project, channel_layer):
    """Consume a ticket as a worker gets it."""

    def run(id_="ticket", content=TICKET, **envelope):
        found = Envelope(id_, "tasks.default", **envelope)
        consume_ticket(Message(content, "tasks.default", channel_layer, envelope=found))

    return run


def row():
    return TaskRecord.objects.get()


def test_a_ticket_too_many_finds_nothing_and_that_is_no_fault(consume):
    consume()
    consume(attempt=2)


def test_a_ticket_runs_one_task(consume):
    for number in range(2):
        jobs.note.enqueue(number)
    consume()
    assert jobs.seen == [((0,), {})]


def test_a_ticket_whose_worker_was_lost_runs_the_same_task_again(consume):
    jobs.note.enqueue("first")
    claims.Claims("default", "default", "default").take_next(claims.claim_of("ticket"))
    jobs.note.using(priority=9).enqueue("urgent")
    consume(attempt=2)
    assert jobs.seen == [(("first",), {})]
    record = TaskRecord.objects.get(priority=0)
    assert (record.status, record.attempts, len(record.worker_ids)) == (Status.SUCCESSFUL, 2, 2)


def test_the_task_sees_which_attempt_it_is(consume):
    result = jobs.look.enqueue(3)
    tasks = claims.Claims("default", "default", "default")
    tasks.take_next(claims.claim_of("ticket"))
    tasks.take_again(claims.claim_of("ticket"))
    consume(attempt=3)
    result.refresh()
    assert result.errors == []


def test_a_task_that_has_ended_is_not_run_again(consume):
    jobs.note.enqueue()
    consume()
    consume(attempt=2)  # its worker was lost after the last query and before the commit
    assert len(jobs.seen) == 1
    assert row().attempts == 1


def test_a_task_that_costs_every_worker_its_life_fails_before_its_ticket_is_a_dead_letter(consume):
    result = jobs.note.enqueue()
    claims.Claims("default", "default", "default").take_next(claims.claim_of("ticket"))
    consume(attempt=LOSSES + 1)
    assert jobs.seen == []
    result.refresh()
    assert result.errors[0].exception_class.__name__ == "TaskLost"
    assert "its worker was lost 4 times" in result.errors[0].traceback
    assert ChannelRule().attempts == LOSSES + 1


def test_another_task_does_not_suffer_for_it(consume):
    jobs.note.enqueue()
    consume(attempt=LOSSES + 1)
    assert row().status == Status.SUCCESSFUL


def test_a_task_that_this_worker_does_not_know_is_left_to_others_for_a_while(consume):
    jobs.note.enqueue()
    TaskRecord.objects.update(path="tests.tasks.jobs.newer")
    with pytest.raises(TaskUnknown, match="is its code older"):
        consume()
    assert (row().status, row().attempts) == (Status.READY, 0)
    consume("of another")
    assert (row().status, row().attempts) == (Status.READY, 0)

    TaskRecord.objects.update(path="tests.tasks.jobs.note")
    consume(retries=1)
    assert row().status == Status.SUCCESSFUL


def test_a_task_that_no_worker_knows_fails(consume, caplog):
    jobs.note.enqueue()
    TaskRecord.objects.update(path="no.such.module.task")
    for retries in range(UNKNOWN):
        with pytest.raises(TaskUnknown):
            consume(retries=retries)
    consume(retries=UNKNOWN)
    assert (row().status, row().attempts) == (Status.FAILED, 1)
    assert row().errors[0]["exception_class_path"] == "builtins.ModuleNotFoundError"
    assert "could not be started" in caplog.text


def test_a_module_that_breaks_while_it_is_imported_is_treated_alike(consume, monkeypatch, tmp_path):
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    jobs.note.enqueue()
    TaskRecord.objects.update(path="broken_module.task")
    with pytest.raises(TaskUnknown, match="division by zero"):
        consume()


def test_a_task_of_a_queue_that_was_taken_out_of_the_settings_fails(consume, project):
    jobs.note.using(queue_name="mail").enqueue()
    project.TASKS = {"default": {**TASKS["default"], "QUEUES": ["default"]}}
    consume(content={**TICKET, "queue": "mail"}, retries=UNKNOWN)
    assert "Queue 'mail' is not valid" in row().errors[0]["traceback"]


def test_a_ticket_waits_for_a_database_that_is_away():
    assert RETRY.covers(OperationalError("gone"))
    assert sum(RETRY.pause_after(retries) for retries in range(RETRY.times)) > 300
    assert RETRY.times > UNKNOWN
    assert consume_ticket.retry == RETRY


def test_a_worker_with_a_slow_clock_believes_the_delay_server(consume):
    ahead = timezone.now() + timezone.timedelta(seconds=5)
    jobs.note.using(run_after=ahead).enqueue()
    consume()
    assert jobs.seen == []
    consume("due", content={**TICKET, "due": ahead.isoformat()})
    assert len(jobs.seen) == 1


def count_tickets(client):
    found = 0
    while client.get_next_message("tasks.default"):
        found += 1
    return found


@pytest.mark.parametrize("lonely", [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}])
def test_whichever_tasks_have_no_ticket_one_ticket_is_enough_for_all(consume, channel_client, lonely):
    """There are as many tickets as there are tasks with one, and one more that is consumed."""
    for number in range(3):
        jobs.note.enqueue(number)
    count_tickets(channel_client)
    for number, record in enumerate(TaskRecord.objects.order_by("enqueued_at")):
        if number in lonely:
            claims.Claims("default", "default", "default").lose_ticket(record)
    tickets = 1 + 3 - len(lonely)
    for number in range(4):
        assert tickets > 0
        consume(f"ticket {number}")
        tickets += count_tickets(channel_client) - 1
    assert [args[0] for args, _ in jobs.seen] == [0, 1, 2]
    assert tickets == 0


def test_where_there_is_no_room_for_it_it_goes_on_waiting(project, channel_layer):
    rules = (("tasks.*", ChannelRule(capacity=1)),)
    channel_layers.set("default", MemoryLayer(BrokerLimits(rules=rules)))
    jobs.note.enqueue()
    jobs.note.enqueue()
    consume_ticket(Message(TICKET, "tasks.default", None, envelope=Envelope("a", "tasks.default")))
    assert len(jobs.seen) == 1
    left = TaskRecord.objects.get(status=Status.READY)
    assert (left.has_ticket, left.place) == (False, Place.IN_LINE)
    assert left.wake_at <= timezone.now()
    Client().consume("tasks.default")
    assert len(jobs.seen) == 2


@pytest.mark.parametrize("backend", ["other", "nobody's"])
def test_a_ticket_of_another_backend(consume, project, backend):
    dummy = type(jobs.note).__module__.replace(".base", ".backends.dummy.DummyBackend")
    project.TASKS = {**TASKS, "other": {"BACKEND": dummy}}
    with pytest.raises(ImproperlyConfigured):
        consume(content={**TICKET, "backend": backend})


def test_what_is_no_ticket(consume):
    with pytest.raises(InvalidMessage):
        consume(content={})
