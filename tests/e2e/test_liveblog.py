"""An admin writes and a reader reads: real Chromium windows, the real server, data binding between them."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.liveblog import LIVEBLOG, Person, Site
from tests.support.processes import Program, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="system Chromium is a Debian matter")]

FINISH = "The fleet is in sight of the finish"
WIND = "Wind is going to veer"
LEAD = "A lead changes hands"
NEEDLES = "Two pull ahead at the Needles"
START = "The start, in a north-westerly of 18 knots"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A database with the demo's users and posts."""
    folder = tmp_path_factory.mktemp("prepared")
    site = Site(0, folder)
    site.manage("migrate", "--verbosity", "0")
    site.manage("demo")
    return site.database


@pytest.fixture
def site(prepared: Path) -> Iterator[Site]:
    """The demo, not started yet. A hub's path is short, so it is not in pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="liveblog-") as folder:
        site = Site(free_port(), Path(folder))
        shutil.copy(prepared, site.database)
        yield site


@pytest.fixture
def server(site: Site) -> Iterator[Program]:
    """The demo, started. Nothing that anybody does may make an exception in it."""
    with site.served() as server:
        yield server
        assert "Traceback" not in server.output(), server.output()


@pytest.fixture
def person(browser, site: Site) -> Iterator[Callable[[], Person]]:
    """Make people. An error in the script of anybody's page fails the test."""
    people: list[Person] = []

    def make() -> Person:
        people.append(Person(browser, site))
        return people[-1]

    yield make
    assert [someone.page_errors for someone in people if someone.page_errors] == []


@pytest.mark.usefixtures("server")
def test_a_hidden_post_vanishes_in_one_window_and_stays_in_the_other(person) -> None:
    ada, grace = person().log_in("ada"), person().log_in("grace")
    ada.expect_posts(FINISH, WIND, LEAD, NEEDLES, START)
    grace.expect_posts(FINISH, LEAD, NEEDLES, START)

    ada.press(LEAD, "Hide from readers")
    grace.expect_posts(FINISH, NEEDLES, START)
    expect(ada.post(LEAD).get_by_text("Only for admins")).to_be_visible()
    ada.expect_posts(FINISH, WIND, LEAD, NEEDLES, START)

    ada.press(LEAD, "Show to readers")
    grace.expect_posts(FINISH, LEAD, NEEDLES, START)  # at its place, not at the top
    expect(ada.post(LEAD).get_by_text("Only for admins")).to_be_hidden()
    assert "Ventnor" not in grace.page.content()  # what readers may not see is not in their page


@pytest.mark.usefixtures("server")
def test_edits_in_djangos_admin_and_in_another_process_are_seen_at_once(person, site) -> None:
    someone, grace = person(), person().log_in("grace")
    ada = someone.log_in("ada")
    admin = someone.open_tab().page
    admin.get_by_role("link", name="Admin").click()
    # The newest is in the first row.
    admin.locator("[name=form-0-admin_only]").check()
    admin.locator("[name=form-1-admin_only]").uncheck()
    admin.get_by_role("button", name="Save").click()
    expect(admin.get_by_text("2 posts were changed successfully")).to_be_visible()
    grace.expect_posts(WIND, LEAD, NEEDLES, START)
    ada.expect_posts(FINISH, WIND, LEAD, NEEDLES, START)

    site.in_shell("Post.objects.create(title='From a shell'); Post.objects.get(title__startswith='A lead').delete()")
    grace.expect_posts("From a shell", WIND, NEEDLES, START)
    ada.expect_posts("From a shell", FINISH, WIND, NEEDLES, START)


@pytest.mark.usefixtures("server")
def test_an_admin_writes_edits_and_deletes(person) -> None:
    ada, grace = person().log_in("ada"), person().log_in("grace")
    attack = '<img src="x" onerror="window.attacked = 1">'
    ada.write(attack, "First\n<b>second</b>")
    grace.expect_posts(attack, FINISH, LEAD, NEEDLES, START)
    expect(grace.post(attack).locator(".text")).to_have_text("First\n<b>second</b>")
    expect(grace.post(attack).get_by_text("Ada Lovelace")).to_be_visible()
    expect(grace.page.locator("#posts :is(img, b)")).to_have_count(0)
    assert grace.page.evaluate("window.attacked") is None
    desk = ada.page.get_by_role("complementary", name="New post")
    expect(desk.get_by_label("Title")).to_have_value("")

    ada.press(attack, "Edit")
    form = ada.page.locator(".post form")
    form.get_by_label("Title").fill(" ")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_text("cannot be blank")).to_be_visible()
    form.get_by_label("Title").fill("Harmless")
    form.get_by_label("Only for admins").check()
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    grace.expect_posts(FINISH, LEAD, NEEDLES, START)
    ada.expect_posts("Harmless", FINISH, WIND, LEAD, NEEDLES, START)

    ada.press("Harmless", "Delete")
    ada.press("Harmless", "Delete it?")
    ada.expect_posts(FINISH, WIND, LEAD, NEEDLES, START)
    ada.press(START, "Edit")
    form.get_by_role("button", name="Save").click()  # nothing was changed, so there is nothing to wait for
    expect(form).to_have_count(0)


@pytest.mark.usefixtures("server")
def test_two_admins_who_edit_different_fields_undo_nothing_of_each_other(person) -> None:
    ada, other = person().log_in("ada"), person().log_in("ada")
    ada.press(START, "Edit")
    other.press(START, "Hide from readers")
    expect(other.post(START).get_by_text("Only for admins")).to_be_visible()
    form = ada.page.locator(".post form")
    form.get_by_label("Text").fill("Forty boats.")
    form.get_by_role("button", name="Save").click()
    expect(other.post(START).locator(".text")).to_have_text("Forty boats.")
    expect(ada.post(START).get_by_text("Only for admins")).to_be_visible()


# Opens a socket of its own, sends the frames, and returns what comes until an answer to the last, which is a wrong one.
FORGE = """
async (frames) => {
  const socket = new WebSocket(`ws://${location.host}/ws/liveblog/`);
  const answers = [];
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onclose = reject; });
  const answered = new Promise((resolve) => {
    socket.onmessage = ({ data }) => { answers.push(JSON.parse(data)); if (answers.at(-1).error) resolve(); };
  });
  for (const frame of frames) socket.send(frame);
  socket.send('{"stream": "nowhere", "payload": {}}');
  await answered;
  socket.close();
  return answers;
}
"""


@pytest.mark.usefixtures("server")
def test_what_a_reader_forges_is_ignored(person) -> None:
    ada, grace = person().log_in("ada"), person().log_in("grace")
    payloads = [
        {"action": "create", "data": {"title": "Forged"}},
        *({"action": "update", "pk": pk, "data": {"title": "Forged", "admin_only": False}} for pk in range(1, 6)),
        *({"action": "delete", "pk": pk} for pk in range(1, 6)),
    ]
    frames = [json.dumps({"stream": "posts", "payload": payload}) for payload in payloads]
    *told, ready, answer = grace.page.evaluate(FORGE, frames)
    assert [frame["payload"]["action"] for frame in told] == ["create"] * 4
    assert ready == {"stream": "page", "payload": {"ready": True, "admin": False}}
    assert answer["stream"] == "nowhere"
    for someone in (ada, person().log_in("ada")):
        someone.expect_posts(FINISH, WIND, LEAD, NEEDLES, START)
    grace.expect_posts(FINISH, LEAD, NEEDLES, START)


@pytest.mark.usefixtures("server")
def test_a_logout_closes_the_sockets_of_that_login(person) -> None:
    someone, other = person(), person().log_in("grace")
    here, there = someone.log_in("grace"), someone.open_tab()
    here.page.get_by_role("button", name="Log out").click()
    expect(here.page.get_by_role("button", name="Log in")).to_be_visible()
    there.expect_connection("closed")
    expect(there.page.locator("#connection-text")).to_have_text("Logged out")
    other.expect_live()  # the same user, at another browser
    there.page.get_by_role("link", name="Log in again").click()
    expect(there.page.get_by_role("button", name="Log in")).to_be_visible()


@pytest.mark.usefixtures("server")
def test_a_window_becomes_that_of_a_reader_when_its_user_is_an_admin_no_longer(person, site) -> None:
    ada = person().log_in("ada")
    desk = ada.page.get_by_role("complementary", name="New post")
    for is_staff, posts in [(False, (FINISH, LEAD, NEEDLES, START)), (True, (FINISH, WIND, LEAD, NEEDLES, START))]:
        site.in_shell(f"ada = User.objects.get(username='ada'); ada.is_staff = {is_staff}; ada.save()")
        ada.expect_posts(*posts)
        expect(desk).to_have_count(int(is_staff))


@pytest.mark.faults
def test_who_reconnects_sees_what_is_there_now(person, site) -> None:
    with site.served() as server:
        ada, grace, linus = person().log_in("ada"), person().log_in("grace"), person()
        gone = linus.log_in("grace")
        server.stop(signal.SIGKILL)
        for someone in (ada, grace, gone):
            someone.expect_connection("waiting")
        ada.write("Written in the dark")
        expect(ada.page.get_by_text("no connection")).to_be_visible()
        linus.context.clear_cookies()
    site.in_shell("Post.objects.filter(title__startswith='A lead').update(admin_only=True)")
    site.in_shell("Post.objects.filter(title__startswith='Wind').update(admin_only=False)")
    with site.served():
        grace.expect_live()
        grace.expect_posts(FINISH, WIND, NEEDLES, START)
        ada.expect_live()
        ada.expect_posts(FINISH, WIND, LEAD, NEEDLES, START)
        expect(ada.post(LEAD).get_by_text("Only for admins")).to_be_visible()
        ada.page.get_by_role("button", name="Post", exact=True).click()  # what was written is still there
        grace.expect_posts("Written in the dark", FINISH, WIND, NEEDLES, START)
        # Whose login is gone meanwhile is refused, and asked who they are.
        expect(gone.page.get_by_role("button", name="Log in")).to_be_visible()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("name", ["ada", "grace"])
def test_it_fits_a_phone(person, name) -> None:
    someone = person().log_in(name)
    someone.page.set_viewport_size({"width": 360, "height": 640})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    wait_until(lambda: someone.page.evaluate(overflow) == 0, "a page no wider than the phone")


def test_its_own_tests_pass(monkeypatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "demo.settings")
    result = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "test"], cwd=LIVEBLOG, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Ran 14 tests" in result.stderr
