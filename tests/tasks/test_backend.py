"""Tasks through the backend, as a project uses it: all that Django asks of its own backends, and what is ours."""

import logging
import pickle
from datetime import timedelta
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.test import modify_settings
from django.utils import timezone

from fairway.conf import channel_layers
from fairway.errors import ChannelFull, InvalidSchedule, LayerUnavailable
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.tasks import ChannelTaskBackend
from fairway.tasks.framework import (
    InvalidTask,
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from fairway.tasks.models import TaskRecord
from fairway.testing import Client
from tests.tasks import jobs
from tests.tasks.conftest import TASKS

HOUR = timedelta(hours=1)
LOGGER = "django.tasks" if task_backends.__class__.__module__.startswith("django.tasks") else "django_tasks"


@pytest.fixture
def asking(project):
    """Coroutines ask the database in a thread of their own, which outlives the test and would keep its connection."""

    def close():
        for connection in connections.all(initialized_only=True):
            connection.close()
            del connections[connection.alias]

    project.closes = sync_to_async(close)
    return project


def waiting(queue="default"):
    """How many tickets wait in a queue."""
    client = Client()
    found = 0
    while client.get_next_message(f"tasks.{queue}"):
        found += 1
    return found


def test_the_backend_is_the_one_of_the_settings(project):
    backend = task_backends["default"]
    assert isinstance(backend, ChannelTaskBackend)
    assert (backend.alias, backend.options, backend.queues) == ("default", {}, {"default", "mail"})
    assert backend.supports_defer
    assert backend.supports_async_task
    assert backend.supports_get_result
    assert backend.supports_priority


@pytest.mark.parametrize("task", [jobs.note, jobs.note_later])
def test_an_enqueued_task_is_ready_and_nothing_has_come_of_it(project, channel_layer, task):
    before = timezone.now()
    result = task.enqueue(1, two=3)

    assert result.status is TaskResultStatus.READY
    assert not result.is_finished
    assert before <= result.enqueued_at <= timezone.now()
    assert (result.started_at, result.last_attempted_at, result.finished_at) == (None, None, None)
    assert (result.task, result.args, result.kwargs) == (task, [1], {"two": 3})
    assert (result.attempts, result.errors, result.worker_ids, result.backend) == (0, [], [], "default")
    with pytest.raises(ValueError, match="Task has not finished yet"):
        _ = result.return_value


@pytest.mark.parametrize("task", [jobs.note, jobs.note_later])
async def test_a_coroutine_enqueues_in_the_same_way(asking, channel_layer, task):
    result = await task.aenqueue(1, two=3)

    assert result.status is TaskResultStatus.READY
    assert (result.task, result.args, result.kwargs) == (task, [1], {"two": 3})
    assert await task.aget_result(result.id) == result
    await asking.closes()


@pytest.mark.parametrize(("task", "returned"), [(jobs.note, {"args": [1], "kwargs": {"two": 3}}), (jobs.note_later, 1)])
def test_a_worker_runs_it_and_the_result_is_there(run_next, task, returned):
    result = task.enqueue(1, two=3)
    run_next()
    assert jobs.seen == [((1,), {"two": 3})]

    result.refresh()
    assert result.status is TaskResultStatus.SUCCESSFUL
    assert result.is_finished
    assert result.return_value == returned
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert (result.attempts, len(result.worker_ids)) == (1, 1)


async def test_a_coroutine_sees_the_result(asking, channel_client):
    result = await jobs.note.aenqueue()
    await channel_client.aconsume("tasks.default")
    await result.arefresh()
    assert result.return_value == {"args": [], "kwargs": {}}
    await asking.closes()


def test_what_is_got_is_what_was_enqueued(project, channel_layer):
    task = jobs.note.using(priority=7, queue_name="mail", run_after=timezone.now() - HOUR)
    result = task.enqueue("a", b=None)
    assert task.get_result(result.id) == result
    assert task_backends["default"].get_result(result.id) == result
    assert jobs.note.get_result(result.id).task == task


@pytest.mark.parametrize("wrong", ["123", "", None, 7, "00000000-0000-0000-0000-000000000000"])
def test_a_result_that_there_is_not(project, wrong):
    with pytest.raises(TaskResultDoesNotExist):
        jobs.note.get_result(wrong)


async def test_a_result_that_there_is_not_for_a_coroutine(asking):
    with pytest.raises(TaskResultDoesNotExist):
        await jobs.note.aget_result("123")
    await asking.closes()


def test_a_result_of_another_backend_is_none(project, channel_layer):
    project.TASKS = {**TASKS, "other": TASKS["default"]}
    result = jobs.note.using(backend="other").enqueue()
    with pytest.raises(TaskResultDoesNotExist):
        jobs.note.get_result(result.id)
    assert jobs.note.using(backend="other").get_result(result.id) == result


def test_results_travel_by_pickle(project, channel_layer):
    if LOGGER == "django_tasks":
        pytest.skip("tasks of the package cannot be pickled")
    result = jobs.note.enqueue(1)
    assert pickle.loads(pickle.dumps(result)) == result


@pytest.mark.parametrize(
    ("task", "error", "text"),
    [(jobs.fail, ValueError, "This task failed"), (jobs.leave, SystemExit, "This task left")],
)
def test_a_task_that_raises_has_failed_and_is_not_repeated(run_next, caplog, task, error, text):
    result = task.enqueue()
    with caplog.at_level(logging.ERROR, LOGGER):
        run_next()

    result.refresh()
    assert result.status is TaskResultStatus.FAILED
    assert result.is_finished
    assert result.started_at <= result.finished_at
    (told,) = result.errors
    assert told.exception_class is error
    assert told.traceback.endswith(f"{error.__name__}: {text}\n")
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value
    (record,) = (record for record in caplog.records if record.name == LOGGER)
    assert text in record.exc_text
    assert waiting() == 0


def test_what_is_returned_has_to_be_for_json(run_next):
    result = jobs.return_function.enqueue()
    run_next()
    result.refresh()
    assert result.status is TaskResultStatus.FAILED
    assert result.errors[0].exception_class is TypeError
    assert "Unsupported type" in result.errors[0].traceback


def test_whoever_wants_the_process_to_end_is_heard(run_next):
    result = jobs.interrupt.enqueue()
    with pytest.raises(KeyboardInterrupt):
        run_next()
    result.refresh()
    assert result.status is TaskResultStatus.FAILED


@pytest.mark.parametrize("argument", [timezone.now(), object(), {1, 2}])
def test_an_argument_that_is_nothing_for_json_is_refused_on_the_line_that_enqueues(project, channel_layer, argument):
    with pytest.raises(TypeError, match="Unsupported type"):
        jobs.note.enqueue(argument)
    with pytest.raises(TypeError, match="Unsupported type"):
        jobs.note.enqueue(deep=[{"x": argument}])
    assert TaskRecord.objects.count() == 0


@pytest.mark.parametrize("value", ["a\0b", "\ud800", float("inf"), 10**30, "€", {"1": [None, True, 1.5]}])
def test_whatever_json_can_say_arrives_and_comes_back(run_next, value):
    result = jobs.note.enqueue(value)
    run_next()
    result.refresh()
    assert jobs.seen == [((value,), {})]
    assert result.return_value == {"args": [value], "kwargs": {}}


def test_a_traceback_may_hold_what_databases_do_not_like(run_next, monkeypatch):
    monkeypatch.setattr(logging.getLogger(LOGGER), "disabled", True)  # processes of tests cannot tell each other of it
    result = jobs.fail.enqueue("a\0b \ud800")
    run_next()
    result.refresh()
    assert "a\0b \ud800" in result.errors[0].traceback


def test_a_task_may_take_its_context(run_next):
    result = jobs.look.enqueue(1)
    run_next()
    result.refresh()
    assert result.errors == []
    assert result.return_value == result.id


def test_signals_say_enqueued_started_and_finished(run_next):
    heard = []
    receivers = {
        signal: partial(lambda name, sender, task_result, **_: heard.append((name, sender, task_result.status)), name)
        for name, signal in (("enqueued", task_enqueued), ("started", task_started), ("finished", task_finished))
    }
    for signal, receiver in receivers.items():
        signal.connect(receiver)
    try:
        jobs.note.enqueue()
        jobs.fail.enqueue()
        run_next(times=2)
    finally:
        for signal, receiver in receivers.items():
            signal.disconnect(receiver)
    ready, running = TaskResultStatus.READY, TaskResultStatus.RUNNING
    assert heard == [
        ("enqueued", ChannelTaskBackend, ready),
        ("enqueued", ChannelTaskBackend, ready),
        ("started", ChannelTaskBackend, running),
        ("finished", ChannelTaskBackend, TaskResultStatus.SUCCESSFUL),
        ("started", ChannelTaskBackend, running),
        ("finished", ChannelTaskBackend, TaskResultStatus.FAILED),
    ]


def test_the_framework_logs_each_step(run_next, caplog):
    with caplog.at_level(logging.DEBUG, LOGGER):
        result = jobs.note.enqueue()
        run_next()
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert [part in line for part, line in zip(("enqueued", "RUNNING", "SUCCESSFUL"), lines, strict=True)] == [True] * 3
    assert all(result.id in line for line in lines)


# --- validation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [-101, 101, 3.1])
def test_priorities_are_whole_numbers_within_bounds(project, priority):
    with pytest.raises(InvalidTask, match="priority must be a whole number between -100 and 100"):
        jobs.note.using(priority=priority)


def test_run_after_is_aware(project):
    with pytest.raises(InvalidTask, match="run_after must be an aware datetime"):
        jobs.note.using(run_after=timezone.make_naive(timezone.now()))


def test_a_queue_that_the_backend_does_not_have(project):
    with pytest.raises(InvalidTask, match="Queue 'unknown' is not valid for backend"):
        jobs.note.using(queue_name="unknown")


def test_what_was_valid_is_validated_again_when_it_is_enqueued(project, channel_layer):
    mail = jobs.note.using(queue_name="mail")
    project.TASKS = {"default": {**TASKS["default"], "QUEUES": ["default"]}}
    with pytest.raises(InvalidTask, match="Queue 'mail' is not valid for backend"):
        mail.enqueue()


def test_a_queue_whose_name_makes_no_channel(project):
    project.TASKS = {"default": {**TASKS["default"], "QUEUES": ["a b"]}}
    with pytest.raises(InvalidTask, match=r"'a b' is not valid for backend: 'tasks\.a b' is no channel name"):
        jobs.note.using(queue_name="a b")


def test_queues_are_a_list(project):
    project.TASKS = {"default": {**TASKS["default"], "QUEUES": "mail"}}
    with pytest.raises(InvalidTaskBackend, match=r"write \['mail'\]"):
        jobs.note.enqueue()


def test_a_backend_without_queues_takes_tasks_of_any(project, channel_client):
    project.TASKS = {"default": {**TASKS["default"], "QUEUES": []}}
    result = jobs.note.using(queue_name="any at all").enqueue()
    channel_client.consume("tasks")
    result.refresh()
    assert result.status is TaskResultStatus.SUCCESSFUL
    assert result.task.queue_name == "any at all"


def test_a_function_that_no_worker_would_find_is_refused(project, channel_layer):
    lost = jobs.make("lost")
    with pytest.raises(InvalidTask, match=r"no worker finds the task 'tests\.tasks\.jobs\.lost'.*define it with @task"):
        lost.enqueue()
    double = jobs.make("note")
    with pytest.raises(InvalidTask, match="another one has that name"):
        double.enqueue()
    plain = jobs.make("plain_function")
    with pytest.raises(InvalidTask, match="is no task but function"):
        plain.enqueue()
    script = jobs.make("note", module="__main__")
    with pytest.raises(InvalidTask, match="in the script that runs here"):
        script.enqueue()


def test_the_app_has_to_be_installed(project, channel_layer):
    with modify_settings(INSTALLED_APPS={"remove": "fairway.tasks"}):
        for use in (jobs.note.enqueue, partial(jobs.note.get_result, "1")):
            with pytest.raises(ImproperlyConfigured, match=r"add 'fairway.tasks' to INSTALLED_APPS .*migrate"):
                use()


# --- tickets ---------------------------------------------------------------------------------------------------------


def test_workers_hear_of_a_task_when_the_transaction_is_committed(project, channel_layer):
    with transaction.atomic():
        jobs.note.enqueue()
        assert waiting() == 0
    assert waiting() == 1


def test_a_transaction_that_is_rolled_back_takes_its_tasks_along(project, channel_layer):
    with transaction.atomic():
        jobs.note.enqueue()
        transaction.set_rollback(True)
    assert waiting() == 0
    assert TaskRecord.objects.count() == 0


def test_priority_decides_and_then_age(run_next):
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", -5), ("e", 5)):
        jobs.note.using(priority=priority).enqueue(name)
    run_next(times=5)
    assert [args[0] for args, _ in jobs.seen] == ["b", "e", "a", "c", "d"]


def test_a_queue_has_tickets_of_its_own(run_next):
    jobs.note.using(queue_name="mail").enqueue("mail")
    jobs.note.enqueue("default")
    run_next("mail")
    assert jobs.seen == [(("mail",), {})]


def test_a_task_for_later_runs_when_its_time_has_come_and_not_before(run_next, channel_client):
    result = jobs.note.using(run_after=timezone.now() + HOUR, priority=50).enqueue("later")
    jobs.note.enqueue("now")
    run_next()
    assert Client().deliver_delayed() == []
    assert jobs.seen == [(("now",), {})]

    assert len(Client().deliver_delayed(HOUR)) == 1
    run_next()
    assert jobs.seen == [(("now",), {}), (("later",), {})]
    result.refresh()
    assert result.status is TaskResultStatus.SUCCESSFUL


def test_a_time_that_is_over_is_now(run_next):
    jobs.note.using(run_after=timezone.now() - HOUR).enqueue()
    run_next()
    assert len(jobs.seen) == 1


def test_a_task_for_later_needs_the_delay_server_and_a_time_within_reason(project, channel_layer):
    with pytest.raises(InvalidSchedule, match="ten years"):
        jobs.note.using(run_after=timezone.now() + timedelta(days=9999)).enqueue()
    with (
        modify_settings(INSTALLED_APPS={"remove": "fairway.delay"}),
        pytest.raises(ImproperlyConfigured, match=r"fairway\.delay"),
    ):
        jobs.note.using(run_after=timezone.now() + HOUR).enqueue()
    assert TaskRecord.objects.count() == 0


def test_naive_times_where_the_project_has_no_time_zones(project, run_next):
    project.USE_TZ = False
    result = jobs.note.using(run_after=timezone.now() + HOUR).enqueue()
    assert result.enqueued_at.tzinfo is None
    assert len(Client().deliver_delayed(HOUR)) == 1
    run_next()
    result.refresh()
    assert result.status is TaskResultStatus.SUCCESSFUL


def test_where_no_worker_can_be_told_the_task_is_not_enqueued(project, channel_layer):
    channel_layer.close()
    with pytest.raises(LayerUnavailable):
        jobs.note.enqueue()
    assert TaskRecord.objects.count() == 0


def test_where_no_worker_can_be_told_after_a_commit_the_task_is_kept_and_the_log_tells(project, channel_layer, caplog):
    channel_layer.close()
    with transaction.atomic():
        result = jobs.note.enqueue()
    assert TaskRecord.objects.get().has_ticket is False
    (record,) = (record for record in caplog.records if record.name == "fairway.tasks")
    assert result.id in record.getMessage()
    assert "`manage.py tasks resume`" in record.getMessage()


def narrow(capacity, *channels):
    """Put a layer in with little room."""
    rules = tuple((channel, ChannelRule(capacity=capacity)) for channel in channels)
    channel_layers.set("default", MemoryLayer(BrokerLimits(rules=rules)))


def test_more_tasks_than_tickets_find_room(project, channel_layer):
    narrow(2, "tasks.*")
    for number in range(5):
        jobs.note.enqueue(number)
    assert [record.has_ticket for record in TaskRecord.objects.order_by("enqueued_at")] == [True] * 2 + [False] * 3
    for _ in range(5):
        Client().consume("tasks.default")
    assert [args[0] for args, _ in jobs.seen] == [0, 1, 2, 3, 4]
    assert waiting() == 0


def test_a_full_channel_of_the_delay_server_is_told(project, channel_layer):
    narrow(1, "asgi.delay")
    later = jobs.note.using(run_after=timezone.now() + HOUR)
    later.enqueue()
    with pytest.raises(ChannelFull):
        later.enqueue()
    assert TaskRecord.objects.count() == 1
