"""Routes for the queues of a project."""

import pytest
from django.utils.module_loading import import_string

from fairway import include, route
from fairway.routing import Router
from fairway.tasks import routing

OURS = "fairway.tasks.ChannelTaskBackend"
DJANGOS = import_string("fairway.tasks.framework.BaseTaskBackend").__module__.replace("base", "dummy.DummyBackend")


@pytest.mark.parametrize(
    ("tasks", "channels"),
    [
        ({}, set()),
        ({"default": {"BACKEND": DJANGOS}}, set()),
        ({"default": {"BACKEND": OURS}}, {"tasks.default"}),
        ({"default": {"BACKEND": OURS, "QUEUES": []}}, {"tasks"}),
        (
            {
                "default": {"BACKEND": DJANGOS},
                "a": {"BACKEND": OURS, "QUEUES": ["x", "y"]},
                "b": {"BACKEND": OURS, "QUEUES": ["y", "z"]},
            },
            {"tasks.x", "tasks.y", "tasks.z"},
        ),
    ],
)
def test_there_is_a_route_for_each_queue_of_our_backends(settings, tasks, channels):
    settings.TASKS = tasks
    router = Router([include("fairway.tasks.routing.task_routing"), route("else", lambda message: None)])
    assert router.channels == {*channels, "else"}


def test_the_module_has_no_other_names():
    with pytest.raises(AttributeError, match="has no attribute 'tusk_routing'"):
        _ = routing.tusk_routing
