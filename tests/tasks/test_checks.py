"""What the system checks say of a backend."""

import pytest
from django.test import modify_settings
from django.utils.module_loading import import_string

from fairway.checks import check_channel_layers
from fairway.tasks.framework import task_backends
from tests.tasks.conftest import LAYERS, TASKS

OURS = TASKS["default"]


check_tasks = import_string(f"{task_backends.__class__.__module__}.checks.check_tasks")


def run_checks():
    """Have the framework ask its backends."""
    return list(check_tasks(None))


def found(settings, **changes):
    settings.TASKS = {"default": {**OURS, **changes}}
    settings.CHANNEL_LAYERS = LAYERS
    return [(message.id, message.msg) for message in run_checks()]


@pytest.mark.parametrize(
    "changes", [{}, {"OPTIONS": {"layer": "default", "database": "default"}}, {"QUEUES": []}, {"QUEUES": ["a-b.c_d"]}]
)
def test_nothing_is_wrong(settings, changes):
    assert found(settings, **changes) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"OPTIONS": {"layers": "default"}}, "has 'layers', which is none of layer, database"),
        ({"OPTIONS": {"database": "archive"}}, "is 'archive', which is no alias of DATABASES"),
        ({"OPTIONS": {"layer": "jobs"}}, "is 'jobs': CHANNEL_LAYERS has no 'jobs'"),
        ({"QUEUES": ["a b"]}, "'tasks.a b' is no channel name"),
        ({"QUEUES": ["x" * 94]}, "is no channel name: 1 to 99 of"),
    ],
)
def test_what_is_wrong(settings, changes, says):
    ((id_, text),) = found(settings, **changes)
    assert id_ == "fairway.E009"
    assert "TASKS['default']" in text
    assert says in text


def test_the_app_is_not_installed(settings):
    with modify_settings(INSTALLED_APPS={"remove": "fairway.tasks"}):
        ((id_, text),) = found(settings)
    assert id_ == "fairway.E009"
    assert "add 'fairway.tasks' to INSTALLED_APPS and run `manage.py migrate`" in text


@pytest.mark.parametrize("routing", [[], None, {"tasks.default": "tests.tasks.jobs.plain_function"}])
def test_a_queue_that_no_worker_reads(settings, routing):
    settings.TASKS = {"default": OURS}
    settings.CHANNEL_LAYERS = {"default": {**LAYERS["default"], "ROUTING": routing}}
    (warning,) = run_checks()
    assert warning.id == "fairway.W005"
    assert "tasks.mail" in warning.msg
    assert ("tasks.default" in warning.msg) == (not routing)
    assert warning.hint == "Add include('fairway.tasks.routing.task_routing') to it."


def test_a_routing_that_is_wrong_is_not_complained_about_twice(settings):
    settings.TASKS = {"default": OURS}
    settings.CHANNEL_LAYERS = {"default": {**LAYERS["default"], "ROUTING": "no.such.routing"}}
    assert run_checks() == []
    assert [message.id for message in check_channel_layers()] == ["fairway.E004"]
