"""The page of the how-to about rohrpost, pasted and opened in two browser windows."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.test_docs_rohrpost import HOW_TO, paste

pytestmark = pytest.mark.e2e

URLS = """
from pathlib import Path
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse(Path("page.html").read_text()))]
"""

PAGE = """<!doctype html><title>Todos</title><ul></ul>
<script>
const shown = new Set();
function show(type, todo) {
  if (type !== "create" || shown.has(todo.id)) return;
  shown.add(todo.id);
  document.querySelector("ul").append(Object.assign(document.createElement("li"), { textContent: todo.title }));
}
</script>
<script>%s</script>
"""

SCRIPT = """
import json, sys
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from fairway.application import application_for
from fairway.conf import channel_layers
from tests.support.serving import serving

call_command("migrate", run_syncdb=True, verbosity=0)
from todo.models import Todo
browser = Client()
browser.force_login(get_user_model().objects.create_user("ada"))
Todo.objects.create(board="home", title="There before")
with serving(channel_layers["default"], application_for()) as port:
    print(json.dumps([f"http://127.0.0.1:{port}/", browser.cookies["sessionid"].value]), flush=True)
    for title in sys.stdin:
        Todo.objects.create(board="home", title=title.strip())
"""


@pytest.fixture
def site(tmp_path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The project with its server, what to open, and the session of somebody who is logged in."""
    script = re.search(r"```javascript\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert script
    more = [("mysite/urls.py", URLS), ("page.html", PAGE % script[1]), ("run.py", SCRIPT)]
    pipe: Any = subprocess.PIPE
    with subprocess.Popen(**paste(tmp_path, *more), stdin=pipe, stdout=pipe) as process:
        yield (process, *json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(30) == 0


def test_what_one_adds_the_other_sees(site, browser: Browser) -> None:
    process, url, session = site

    def visit() -> Page:
        context = browser.new_context()
        context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
        page = context.new_page()
        page.goto(url)
        expect(page.locator("li")).to_have_text(["There before"])
        return page

    one, two = visit(), visit()
    assert one.evaluate("request('todo.add', { board: 'home', title: 'Buy milk' })") == {"id": 2}
    for page in (one, two):
        expect(page.locator("li")).to_have_text(["There before", "Buy milk"])
    refused = "request('todo.add', { board: 'home' }).catch((error) => error)"
    assert one.evaluate(refused) == "Invalid data: Object missing required field `title`"

    process.stdin.write("From a shell\n")
    process.stdin.flush()
    for page in (one, two):
        expect(page.locator("li")).to_have_text(["There before", "Buy milk", "From a shell"])
