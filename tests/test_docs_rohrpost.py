"""The pages about rohrpost: the how-to, pasted into a project, and the reference, run as it stands."""

import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest

import fairway.rohrpost
from fairway.consumers import WebsocketConsumer
from fairway.rohrpost.connection import HEADERS_KEPT
from fairway.rohrpost.main import DEEPEST
from fairway.rohrpost.registry import HANDLERS
from fairway.rohrpost.subscriptions import LONGEST_ID, MOST, SUBSCRIPTIONS
from fairway.rohrpost.sync_consumer import SyncRohrpostConsumer
from fairway.testing import WSClient, apply_routes
from tests.support.pages import DOCS, run_page
from tests.support.processes import ROOT

HOW_TO = DOCS / "how-to" / "rohrpost.md"
PAGE = "reference/rohrpost.md"

NAMES = {
    "registry": "HANDLERS rohrpost_handler",
    "handlers": "handle_ping",
    "main": "handle_rohrpost_message REQUIRED_FIELDS",
    "message": (
        "MessageID TolerantJSONEncoder build_message send_message send_success send_error send_to_group _send_message"
    ),
    "mixins": "NotifyBase NotifyOnCreate NotifyOnUpdate NotifyOnDelete NotifyOnChange",
    "sync_consumer": "SyncRohrpostConsumer",
}
"""What applications for rohrpost import."""

SETTINGS = """
SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
ROOT_URLCONF = "mysite.urls"
INSTALLED_APPS = [
    "fairway", "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "todo",
]
CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": "mysite.routing.channel_routing"}}
"""

SCRIPT = """
import json, sys
from functools import partial
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from websockets.sync.client import connect
from fairway.application import application_for
from fairway.conf import channel_layers
from fairway.rohrpost import send_to_group
from tests.support.serving import serving

text = partial(json.dumps, sort_keys=True)
call_command("migrate", run_syncdb=True, verbosity=0)
browser = Client()
browser.force_login(get_user_model().objects.create_user("ada"))
cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
with serving(channel_layers["default"], application_for()) as port:
    url = f"ws://127.0.0.1:{port}/ws/rohrpost/"
    with connect(url, additional_headers=cookie) as member, connect(url) as anonymous:
        for asked, answers in json.load(sys.stdin):
            member.send(asked)
            heard = [json.loads(member.recv(10)) for _ in answers]
            for frame in (*heard, *answers):
                if frame["type"] == "subscription-update":
                    frame["id"] = "any"
            assert sorted(map(text, heard)) == sorted(map(text, answers)), heard
        for kind, data in (("subscribe", {"type": "board", "id": "home"}), ("todo.list", {"id": "home"})):
            anonymous.send(json.dumps({"type": kind, "id": 1, "data": data}))
            assert "error" in json.loads(anonymous.recv(10))
        member.send(json.dumps({"type": "todo.list", "id": 1, "data": {"id": "home"}}))
        todos = json.loads(member.recv(10))["data"]["todos"]
        assert todos == [{"id": 1, "title": "Buy milk", "done": False}], todos
        send_to_group("board-home", {"type": "note", "data": {"text": "Dinner!"}})
        assert json.loads(member.recv(10)) == {"type": "note", "data": {"text": "Dinner!"}}
print("worked")
call_command("test", "todo", verbosity=0)
"""


@pytest.fixture
def registries():
    before = [(registry, dict(registry)) for registry in (HANDLERS, SUBSCRIPTIONS)]
    yield
    for registry, content in before:
        registry.clear()
        registry.update(content)


def table():
    """What the page sends, each with what it is sent then, as the how-to shows it."""
    conversation = []
    rows = HOW_TO.read_text().partition("| the page sends | and is sent |\n|---|---|\n")[2].partition("\n\n")[0]
    for row in rows.splitlines():
        asked, answer = (cell.strip(" `") for cell in row.strip("|").split(" |"))
        if asked:
            conversation.append((asked, []))
        conversation[-1][1].append(json.loads(answer))
    return conversation


def paste(folder, *more):
    """Write the how-to's files into a folder, and some more; return how Python is started there."""
    files = re.findall(r"[Ii]n `(\S+\.py)`[^`]*(?:`WSClient`[^`]*)?```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert [name for name, _ in files] == ["todo/models.py", "todo/handlers.py", "mysite/routing.py", "todo/tests.py"]
    for name, content in [*files, ("mysite/settings.py", SETTINGS), ("todo/__init__.py", ""), *more]:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    env = {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": f"{folder}:{ROOT}:{ROOT / 'src'}"}
    return {"args": [sys.executable, "run.py"], "cwd": folder, "env": env, "text": True}


def test_the_how_to_works_when_pasted(tmp_path):
    python = paste(tmp_path, ("mysite/urls.py", "urlpatterns = []"), ("run.py", SCRIPT))
    done = subprocess.run(**python, input=json.dumps(table()), capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("worked\n")
    assert re.search(r"Ran 3 tests in .*\n\nOK", done.stderr)


def test_the_reference(registries, channel_layer):
    page = run_page(PAGE)
    with apply_routes(page["channel_routing"]):
        client = WSClient()
        client.connect("/ws/rohrpost/")

        def ask(text):
            client.send_and_consume("websocket.receive", text=text)
            return client.receive()

        assert ask('{"type": "add", "id": 1, "data": [1, 2]}')["data"] == {"sum": 3}
        assert ask('{"type": "add", "id": 1}')["error"] == "Invalid data: Expected `array`, got `null`"
        assert ask('{"type": "whereabouts", "id": 1}')["data"] == {"path": "/ws/rohrpost/"}
        refused = {"id": 1, "type": "subscribe", "error": "You may not subscribe to 'article'."}
        assert ask('{"type": "subscribe", "id": 1, "data": {"type": "article", "id": 5}}') == refused
    with apply_routes([fairway.route_class(page["Loud"])]):
        client.connect("/")
        assert ask('{"type": "ping", "id": 1}') == {"type": "pong", "id": 1}


def test_the_tables_are_complete():
    text = (DOCS / PAGE).read_text()
    shown = {name for name in dir(SyncRohrpostConsumer) if not name.startswith("_")} - set(dir(WebsocketConsumer))
    names = {*fairway.rohrpost.__all__, *shown, *inspect.signature(SyncRohrpostConsumer.send).parameters}
    assert {name for name in names - {"self", "keep_handshake"} if name not in text} == set()
    for limit in (DEEPEST, MOST, LONGEST_ID, f"{HEADERS_KEPT // 1024} KiB"):
        assert str(limit) in text


@pytest.mark.parametrize("name", fairway.rohrpost.__all__)
def test_each_name_is_in_the_module_that_is_named(name):
    text = (DOCS / PAGE).read_text()
    home = getattr(fairway.rohrpost, name).__module__
    assert f"`{home}`" in text


@pytest.mark.parametrize("module", NAMES)
def test_what_is_ported_finds_its_names(module):
    assert f"`.{module}`" in (DOCS / "porting.md").read_text().replace("`rohrpost.registry`", "`.registry`")
    found = importlib.import_module(f"fairway.rohrpost.{module}")
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []
