"""Tasks for the tests, at the top of a module as workers find them."""

import os
import signal

from django.db import transaction
from django.utils import timezone

from fairway import Channel
from fairway.tasks.framework import TaskContext, task_finished

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task

seen = []
"""What `note` was called with, in order."""


@task
def note(*args, **kwargs):
    seen.append((args, kwargs))
    return {"args": args, "kwargs": kwargs}


@task()
async def note_later(*args, **kwargs):
    seen.append((args, kwargs))
    return len(args)


@task()
def fail(text="This task failed"):
    raise ValueError(text)


@task()
def leave():
    raise SystemExit("This task left")


@task()
def interrupt():
    raise KeyboardInterrupt


@task()
def return_function():
    return lambda: True


@task(takes_context=True)
def look(context, expected):
    assert isinstance(context, TaskContext)
    assert context.attempt == expected
    return context.task_result.id


@task(takes_context=True)
def kill_worker(context, times):
    """Cost so many workers their lives, and then return."""
    if context.attempt <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return context.attempt


@task(takes_context=True)
def kill_worker_at_the_end(context, channel):
    """Send something, and cost the first worker its life when the result is written and nothing has left yet."""
    Channel(channel).send({"attempt": context.attempt})
    if context.attempt == 1:
        task_finished.connect(die)


def die(**_):
    os.kill(os.getpid(), signal.SIGKILL)


@task()
def enqueue_more(count):
    return [note.enqueue(number).id for number in range(count)]


@task()
def leave_open():
    from fairway.tasks.models import TaskRecord

    transaction.set_autocommit(False)
    TaskRecord.objects.create(path="never.committed", enqueued_at=timezone.now())


def plain_function():
    """Not a task."""


def make(name, module=__name__):
    """Return a task whose function claims to be somewhere."""

    def function():
        """Do nothing."""

    function.__qualname__ = function.__name__ = name
    function.__module__ = module
    return task(function)
