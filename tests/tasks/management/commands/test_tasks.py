"""`manage.py tasks`, as a person types it."""

import argparse
import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from fairway.conf import channel_layers
from fairway.tasks.management.commands.tasks import duration
from fairway.tasks.models import TaskRecord
from tests.tasks import jobs
from tests.tasks.conftest import LAYERS, TASKS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def project(settings, channel_layer):
    settings.TASKS = TASKS
    settings.CHANNEL_LAYERS = LAYERS
    return settings


def tasks(*arguments):
    out = io.StringIO()
    call_command("tasks", *arguments, stdout=out, no_color=True)
    return out.getvalue().splitlines()


def add(**values):
    TaskRecord.objects.create(backend="default", enqueued_at=timezone.now(), **values)


def test_the_list_is_a_table():
    add(queue="default")
    add(queue="default")
    add(queue="invoices", status="FAILED")
    assert tasks("list") == [
        "BACKEND  QUEUE     STATUS  TASKS",
        "default  default   READY       2",
        "default  invoices  FAILED      1",
    ]


def test_the_list_as_json():
    add(queue="default")
    expected = [{"backend": "default", "queue": "default", "status": "READY", "tasks": 1}]
    assert json.loads("".join(tasks("list", "--json"))) == expected


def test_there_are_none():
    assert tasks("list") == ["There are no tasks."]
    assert json.loads("".join(tasks("list", "--json"))) == []


def test_resume_tells_workers(channel_client):
    add(queue="mail", path=jobs.note.module_path)
    assert tasks("resume") == ["Workers were told of 1 task."]
    assert channel_client.get_next_message("tasks.mail") is not None
    add(queue="mail", status="RUNNING", last_attempted_at=timezone.now() - timedelta(hours=3))
    assert tasks("resume", "--running-longer-than", "2h") == ["Workers were told of 2 tasks."]


def test_resume_without_a_layer():
    add(queue="mail")
    channel_layers["default"].close()
    with pytest.raises(CommandError, match=r"TASKS\['default'\]: no ticket could be sent: "):
        tasks("resume")


def test_prune_deletes_what_has_ended():
    add(status="FAILED", finished_at=timezone.now() - timedelta(days=8))
    add(status="SUCCESSFUL", finished_at=timezone.now() - timedelta(days=6))
    assert tasks("prune", "--older-than", "7d") == ["1 task deleted."]
    assert tasks("prune", "--older-than", "7d") == ["0 tasks deleted."]


def test_a_project_without_such_a_backend_is_told(project):
    project.TASKS = {}
    with pytest.raises(CommandError, match=r"TASKS names no fairway\.tasks\.ChannelTaskBackend"):
        tasks("list")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
    ],
)
def test_times(text, expected):
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7w", "1.5h", "7d ", "1234567d"])
def test_what_is_no_time(text):
    with pytest.raises(argparse.ArgumentTypeError, match="write 90s, 30m, 12h or 7d"):
        duration(text)
