"""The pages about work in the background: their code runs, and their tables tell what is there."""

import re
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import TestCase

from fairway import channel_layers, route
from fairway.consumers import Retry
from fairway.consumers.background import retry_of, time_limit_of
from fairway.testing import Client, apply_routes
from tests.support.chain import Chain

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def page(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}
    names = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "how-to/background.md").read_text(), re.DOTALL):
        exec(compile(block, "background.md", "exec"), names)
    return names


@pytest.mark.django_db
def test_the_view_and_its_consumer(page, rf):
    asked = []
    page["urlopen"] = lambda url, timeout: nullcontext(asked.append(url))
    client = Client()
    client.join_group("staff")
    with apply_routes([route("new-users", page["tell_others"]), route("rename", page["rename"])]):
        with TestCase.captureOnCommitCallbacks(execute=True):
            assert page["sign_up"](rf.post("/", {"name": "ada"})).status_code == 201
        client.consume("new-users")
        user = User.objects.get()
        assert asked == [f"https://crm.example.com/hello/{user.pk}"]
        assert client.receive() == {"text": "ada has signed up"}
        client.send_and_consume("rename", {"user": user.pk, "name": "Ada"})
        client.consume("new-users")
    assert User.objects.get().first_name == "Ada"


def test_what_the_others_say(page):
    said = {name: (retry_of(page[name]), time_limit_of(page[name])) for name in ("import_prices", "Import", "fetch")}
    assert said["import_prices"][0].times == 20
    assert [said["import_prices"][0].pause_after(n) for n in (0, 1, 2, 19)] == [10, 20, 40, 3600]
    assert said["Import"] == (Retry(3, pause=60), 600)
    assert said["fetch"] == (Retry(2), 30)
    with Chain([route("websocket.receive", page["receive"])], layer=channel_layers["default"]) as chain:
        assert chain.receive("hi") == [{"text": "HI"}]


def test_the_pauses_are_those_of_the_page(page):
    assert [retry_of(page["tell_others"]).pause_after(retries) for retries in range(5)] == [1, 2, 4, 8, 16]


def test_the_test_passes(page):
    case = page["RetryTests"]("test_the_third_run_succeeds")
    result = case.defaultTestResult()
    case.run(result)
    assert (result.testsRun, result.failures, result.errors) == (1, [], [])


def test_the_reference_has_all_terms():
    text = (DOCS / "reference/background.md").read_text().split("## Retry\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [field.name for field in fields(Retry)]
    assert "Retry(times=5, pause=1.0, factor=2.0, longest=600.0, on=(Exception,))" in text
    assert repr(Retry()).replace("<class 'Exception'>", "Exception") in text
