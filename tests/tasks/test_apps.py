"""The app, and what importing it brings in."""

import subprocess
import sys

from django.apps import apps


def test_the_app_has_a_label_of_its_own():
    assert apps.get_app_config("fairway_tasks").name == "fairway.tasks"


def test_a_module_may_define_tasks_while_django_loads_its_models():
    program = """
from django.conf import settings
settings.configure(TASKS={"default": {"BACKEND": "fairway.tasks.ChannelTaskBackend"}})
import tests.tasks.jobs, sys
from fairway.tasks import ChannelTaskBackend
assert isinstance(tests.tasks.jobs.note.get_backend(), ChannelTaskBackend)
assert "fairway.tasks.models" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0
