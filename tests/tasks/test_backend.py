"""Tasks through the backend, as a project uses it."""

from django.test import override_settings

from fairway.testing import ChannelTestCase, Client
from tests.tasks import jobs

TASKS = {"default": {"BACKEND": "fairway.tasks.ChannelTaskBackend", "QUEUES": ["default", "mail"]}}
LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": "fairway.tasks.routing.task_routing"}}


@override_settings(TASKS=TASKS, CHANNEL_LAYERS=LAYERS)
class T(ChannelTestCase):
    def test_it(self):
        result = jobs.note.enqueue(1, b="x")
        assert result.status == "READY"
        Client().consume("tasks.default")
        result.refresh()
        assert result.status == "SUCCESSFUL", result.errors
        assert result.return_value == {"args": [1], "kwargs": {"b": "x"}}
        r = jobs.note_later.enqueue(1, 2)
        Client().consume("tasks.default")
        r.refresh()
        assert r.return_value == 2
