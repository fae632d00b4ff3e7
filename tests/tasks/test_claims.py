"""Claims: each task is run by one ticket, in the order of priority and age."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from fairway.broker.effects import Send
from fairway.layers.codec import encode_message
from fairway.tasks import claims
from fairway.tasks.claims import Claims
from fairway.tasks.models import Place, Status, TaskRecord
from fairway.worker.outbox import Outbox, current_outbox

NOW = timezone.now()
HOUR = timedelta(hours=1)


@pytest.fixture
def tasks(database):
    return Claims("default", "default", "mail")


def add(name, **values):
    row = {"backend": "default", "queue": "mail", "enqueued_at": timezone.now(), **values}
    return TaskRecord.objects.create(path=name, **row)


def names(tasks):
    found = []
    while (record := tasks.take_next("c")) is not None:
        found.append(record.path)
    return found


def test_the_highest_priority_comes_first_and_then_the_oldest(tasks):
    for name, priority, age in (("a", 0, 1), ("b", 0, 2), ("c", 7, 1), ("d", -7, 9)):
        add(name, priority=priority, enqueued_at=NOW - age * HOUR)
    assert names(tasks) == ["c", "b", "a", "d"]


def test_others_are_left_alone(tasks):
    add("elsewhere", queue="default")
    add("of another", backend="other")
    add("aside", place=Place.ASIDE)
    for status in (Status.RUNNING, Status.FAILED, Status.SUCCESSFUL):
        add("not ready", status=status)
    assert names(tasks) == []


def test_a_claim_is_written_down(tasks):
    before = timezone.now()
    add("a")
    record = tasks.take_next("claim")
    for row in (record, TaskRecord.objects.get()):
        assert (row.status, row.claim, row.attempts) == (Status.RUNNING, "claim", 1)
        assert row.worker_ids == [claims.worker_id()]
        assert before <= row.started_at == row.last_attempted_at <= timezone.now()


def test_who_comes_again_finds_what_it_had_claimed(tasks):
    add("a")
    add("b", priority=5)
    first = tasks.take_next("mine")
    again = tasks.take_again("mine")
    assert (again.path, again.attempts, len(again.worker_ids)) == ("b", 2, 2)
    assert again.started_at == first.started_at < again.last_attempted_at
    assert tasks.take_again("yours") is None


def test_only_the_last_attempt_says_what_came_of_it(tasks):
    add("a")
    first, again = tasks.take_next("mine"), tasks.take_again("mine")
    first.status, first.return_value = Status.SUCCESSFUL, "first"
    again.status, again.return_value = Status.SUCCESSFUL, "again"
    assert not claims.end(first)
    assert claims.end(again)
    assert not claims.end(again)
    assert TaskRecord.objects.get().return_value == "again"
    assert tasks.take_again("mine") is None


def test_one_that_has_ended_is_run_again_when_what_it_sent_was_lost(tasks, channel_layer):
    """Its ticket comes again only if it was not acknowledged, and what it sent leaves with that."""
    add("a")
    record = tasks.take_next("mine")
    reader = channel_layer.reader(["tasks.mail"])
    channel_layer.send("tasks.mail", {})
    outbox = Outbox(reader.receive(10), reader, channel_layer)
    token = current_outbox.set(outbox)
    outbox.append(Send("told", encode_message({})), channel_layer)
    record.status, record.finished_at = Status.SUCCESSFUL, timezone.now()
    assert claims.end(record)
    current_outbox.reset(token)

    again = tasks.take_again("mine")
    assert (again.attempts, again.status, TaskRecord.objects.get().finished_at) == (2, Status.RUNNING, None)
    assert not claims.end(record)
    assert claims.end(again)
    assert tasks.take_again("mine") is None


def test_what_is_put_off_is_left_to_its_own_ticket(tasks):
    add("a")
    claims.put_off(tasks.take_next("mine"))
    row = TaskRecord.objects.get()
    assert (row.status, row.attempts, row.worker_ids, row.started_at) == (Status.READY, 0, [], None)
    assert tasks.take_next("other") is None
    tasks.join_line(NOW + HOUR)
    assert tasks.take_next("other") is None
    assert tasks.adopt() is None
    again = tasks.take_again("mine")
    assert (again.status, again.attempts) == (Status.RUNNING, 1)


def test_what_is_put_off_after_its_worker_was_lost_keeps_what_was_before(tasks):
    add("a")
    first = tasks.take_next("mine")
    claims.put_off(tasks.take_again("mine"))
    row = TaskRecord.objects.get()
    assert (row.attempts, row.worker_ids, row.started_at) == (1, first.worker_ids, first.started_at)


def test_tasks_join_the_line_when_their_time_has_come(tasks):
    add("due", place=Place.ASIDE, wake_at=NOW - HOUR)
    add("later", place=Place.ASIDE, wake_at=NOW + HOUR)
    tasks.join_line(NOW)
    assert names(tasks) == ["due"]
    tasks.join_line(NOW + HOUR)
    assert names(tasks) == ["later"]


def test_one_that_has_no_ticket_is_shown_to_one_alone(tasks):
    for name in ("a", "b"):
        add(name, has_ticket=False, wake_at=NOW)
    add("later", has_ticket=False, place=Place.ASIDE, wake_at=NOW + HOUR)
    assert {tasks.adopt().path, tasks.adopt().path} == {"a", "b"}
    assert tasks.adopt() is None
    tasks.join_line(NOW + HOUR)
    assert tasks.adopt().path == "later"
    assert tasks.adopt() is None
    assert sorted(names(tasks)) == ["a", "b", "later"]


def test_one_loses_its_ticket_to_another(tasks):
    tasks.lose_ticket()
    add("a")
    tasks.lose_ticket()
    tasks.lose_ticket()
    assert not TaskRecord.objects.get().has_ticket
    assert tasks.adopt().path == "a"


def test_it_is_the_one_that_is_meant_or_the_one_whose_ticket_it_took(tasks):
    first, second = add("first"), add("second")
    tasks.lose_ticket(second)
    assert tasks.adopt() == second
    tasks.take_next("c")
    tasks.lose_ticket(first)
    assert tasks.adopt() == second


def test_one_that_is_for_later_waits_for_its_time_without_a_ticket(tasks):
    later = add("later", place=Place.ASIDE, wake_at=NOW + HOUR)
    tasks.lose_ticket(later)
    assert tasks.adopt() is None
    tasks.join_line(NOW + HOUR)
    assert tasks.adopt() == later


@pytest.mark.parametrize("has_ticket", [True, False])
def test_a_claim_knows_whether_there_was_a_ticket(tasks, has_ticket):
    record = add("a")
    if not has_ticket:
        tasks.lose_ticket(record)
    assert tasks.take_next("c").has_ticket == has_ticket


def test_the_name_of_a_claim_fits_whatever_the_id_of_the_message(database):
    assert claims.claim_of("a") != claims.claim_of("b")
    assert {len(claims.claim_of(ticket)) for ticket in ("", "a", "€" * 500)} == {32}


def test_many_at_the_same_time_claim_each_task_once(tasks):
    count, workers = 60, 6
    for number in range(count):
        add(f"{number:02}", priority=number % 3)
    taken, errors = [], []

    def work():
        mine = []
        try:
            while (record := tasks.take_next(threading.current_thread().name)) is not None:
                mine.append(record.path)
        except Exception as error:  # noqa: BLE001  looked at below
            errors.append(error)
        finally:
            connection.close()
            taken.append(mine)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(path for mine in taken for path in mine) == [f"{number:02}" for number in range(count)]
    assert not TaskRecord.objects.exclude(attempts=1).exists()
    for mine in taken:  # each saw them in order
        assert mine == sorted(mine, key=lambda path: (-(int(path) % 3), path))
