"""The page about tasks, pasted into a project and run; and what it says of numbers and names."""

import re
import subprocess
import sys
from pathlib import Path

import django

from fairway.limits import ChannelRule
from fairway.names import MAX_CHANNEL_LENGTH
from fairway.tasks import consumers, running
from fairway.tasks.checks import OPTIONS
from tests.support.processes import ROOT

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "tasks.md").read_text()

REST = """
SECRET_KEY = "x"
USE_TZ = True
ROOT_URLCONF = "mysite.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": "mysite.routing.channel_routing"}}
"""

MODELS = """
from django.db import models


class Order(models.Model):
    email = models.EmailField()
"""

URLS = """
from django.urls import path
from shop import views

urlpatterns = [path("buy/", views.buy), path("receipts/<id>/", views.receipt)]
"""

MORE_TESTS = """

from django.test import Client as Browser
from datetime import timedelta


class ViewTests(ChannelTestCase):
    def test_the_views(self):
        browser, client = Browser(), Client()
        id = browser.post("/buy/", {"email": "ada@example.com"}).json()["receipt"]
        self.assertEqual(browser.get(f"/receipts/{id}/").json(), {"status": "READY", "attempts": 0})
        client.consume("tasks.mail")
        self.assertEqual(browser.get(f"/receipts/{id}/").json(), {"status": "SUCCESSFUL", "attempts": 1})
        client.deliver_delayed(timedelta(hours=1))
        client.consume("tasks.default")
"""


def test_the_page_works_when_pasted(tmp_path):
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    files = {"shop/models.py": MODELS, "mysite/urls.py": URLS, "shop/__init__.py": "", "mysite/__init__.py": ""}
    files |= dict(blocks)
    assert len(files) == len(blocks) + 4
    files["mysite/settings.py"] += REST
    files["shop/tests.py"] += MORE_TESTS
    for name, text in files.items():
        if django.VERSION < (6, 0):
            text = text.replace("from django.tasks", "from django_tasks")  # noqa: PLW2901  as the page says
            text = text.replace('"shop"]', '"shop", "django_tasks"]')  # noqa: PLW2901
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for command in (["check", "--fail-level", "WARNING"], ["test", "--verbosity", "2"]):
        done = subprocess.run(
            [sys.executable, "-m", "django", *command],
            cwd=tmp_path,
            env={"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("... ok") == 2


def test_the_numbers_of_the_page_are_those_of_the_code():
    pauses = [consumers.RETRY.pause_after(retries) for retries in range(consumers.RETRY.times)]
    assert 5.5 < sum(pauses) / 60 < 6.5
    assert "for six minutes" in PAGE
    assert 20 < sum(pauses[: consumers.UNKNOWN]) < 40
    assert "After half a minute" in PAGE
    assert consumers.LOSSES == 4
    assert "After four lost workers" in PAGE
    assert round(sum(running.PAUSES)) == 13
    assert "for 13 seconds" in PAGE
    assert ChannelRule().capacity == 10_000
    assert "more than 10,000 wait" in PAGE
    assert len("tasks.") + 93 == MAX_CHANNEL_LENGTH


def test_all_options_are_there():
    assert re.findall(r'^\| `OPTIONS\["(\w+)"\]`', PAGE, re.MULTILINE) == list(OPTIONS)
