"""Two windows, one board: real Chromium, the real server, and processes and networks that go away in the middle."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, expect

from tests.e2e.board import BOARD, Site, Window
from tests.e2e.lines import keep_lines, lose_once
from tests.support.processes import Program, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="system Chromium is a Debian matter")]

SHEETS, WINCHES, TAPE, LIFELINES = DECK = (
    "Reeve new jib sheets",
    "Grease the winches",
    "Tape the spreader ends",
    "Lifelines: check every shackle",
)
RADIOS, CHART, BILGE = BELOW = (
    "Charge the handheld radios",
    "Chart 2045, with the corrections",
    "Find out where the bilge water comes from",
)
CREW, BREAD = ASHORE = ("Leave the crew list with the harbour master", "Bread, coffee, more coffee")
FULL = "“On deck” is full: it holds 8 cards."


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A database with the demo's board."""
    site = Site(0, tmp_path_factory.mktemp("prepared"))
    site.manage("migrate", "--verbosity", "0")
    site.manage("demo")
    return site.database


@pytest.fixture
def site(prepared: Path) -> Iterator[Site]:
    """The demo, not started yet. A hub's path is short, so it is not in pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="board-") as folder:
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
def window(browser, site: Site) -> Iterator[Callable[..., Window]]:
    """Make windows. An error in the script of any page fails the test."""
    windows: list[Window] = []

    def make(**options) -> Window:
        windows.append(Window(browser, site, **options))
        return windows[-1]

    yield make
    assert [one.page_errors for one in windows if one.page_errors] == []


@pytest.mark.usefixtures("server")
def test_one_change_and_both_windows_show_it(window) -> None:
    ada, grace = both = window().open(), window().open()
    ada.add("Ashore", "Post the letters")
    grace.expect_cards("Ashore", *ASHORE, "Post the letters")
    grace.rename("Post the letters", "Post the letters, and buy stamps")
    ada.expect_cards("Ashore", *ASHORE, "Post the letters, and buy stamps")
    ada.expect_done(WINCHES, RADIOS)
    grace.tick(CHART)
    ada.expect_done(WINCHES, RADIOS, CHART)
    grace.press(SHEETS, "Move to Below deck")
    for one in both:
        one.expect_cards("On deck", *DECK[1:])
        one.expect_cards("Below deck", *BELOW, SHEETS)
    ada.delete(SHEETS)
    for one in both:
        one.expect_cards("Below deck", *BELOW)
        one.expect_live()
        expect(one.page.locator(".is-draft, .is-under-way, .is-refused")).to_have_count(0)
    assert [len(one.sockets) for one in both] == [1, 1]


@pytest.mark.usefixtures("server")
def test_cards_are_dragged_to_a_place_and_moved_with_keys(window) -> None:
    ada, grace = both = window().open(), window().open()
    ada.card(BREAD).drag_to(ada.card(WINCHES), target_position={"x": 60, "y": 4})
    for one in both:
        one.expect_cards("On deck", SHEETS, BREAD, *DECK[1:])
        one.expect_cards("Ashore", CREW)
    grace.card(SHEETS).drag_to(grace.column("Ashore"), target_position={"x": 60, "y": 8})  # above all others
    ada.expect_cards("Ashore", SHEETS, CREW)
    ada.card(SHEETS).locator(".title").press("Alt+ArrowDown")
    ada.page.keyboard.press("Alt+ArrowLeft")  # the focus has moved with the card
    grace.expect_cards("Below deck", *BELOW, SHEETS)
    ada.page.keyboard.press("Alt+ArrowUp")
    for one in both:
        one.expect_cards("Below deck", RADIOS, CHART, SHEETS, BILGE)
        one.expect_cards("Ashore", CREW)


@pytest.mark.usefixtures("server")
def test_a_card_that_is_refused_says_why_and_can_be_tried_again(window, site) -> None:
    ada, grace = window().open(), window().open()
    for number in range(4):
        ada.add("On deck", f"Coat {number}")
    coats = [f"Coat {number}" for number in range(4)]
    grace.expect_cards("On deck", *DECK, *coats)
    ada.add("On deck", "Varnish")
    ada.expect_refused("Varnish", FULL)
    grace.press(BREAD, "Move to Below deck")
    grace.press(BREAD, "Move to On deck")
    grace.expect_refused(BREAD, FULL)
    grace.expect_cards("Below deck", *BELOW, BREAD)  # where it was
    grace.press(BREAD, "Dismiss")
    expect(grace.page.locator(".is-refused")).to_have_count(0)
    grace.expect_cards("On deck", *DECK, *coats)  # what was refused, nobody else has seen

    grace.delete("Coat 0")
    ada.press("Varnish", "Try again")
    grace.expect_cards("On deck", *DECK, *coats[1:], "Varnish")
    ada.expect_cards("On deck", *DECK, *coats[1:], "Varnish")
    ada.expect_live()
    ada.add("On deck", "One more")
    ada.expect_refused("One more", FULL)
    ada.press("One more", "Discard")
    ada.expect_cards("On deck", *DECK, *coats[1:], "Varnish")


@pytest.mark.usefixtures("server")
def test_what_a_shell_saves_is_seen_and_markup_is_text(window, site) -> None:
    ada = window().open()
    attack = '<img src="x" onerror="window.attacked = 1">'
    ada.rename(BREAD, attack)
    site.in_shell("card = Card.objects.get(title__startswith='Leave'); card.done = True; card.save()")
    ada.expect_done(WINCHES, RADIOS, CREW)
    site.in_shell("Card.objects.get(title__startswith='Reeve').delete()")
    ada.expect_cards("On deck", *DECK[1:])
    grace = window().open()
    grace.expect_cards("Ashore", CREW, attack)
    expect(grace.page.locator(".card img")).to_have_count(0)
    assert grace.page.evaluate("window.attacked") is None


@pytest.mark.faults
def test_a_server_restarts_in_the_middle_and_what_waited_is_done_once(window, site) -> None:
    with site.served() as server:
        ada, grace = both = window().open(), window().open()
        server.stop(signal.SIGKILL)
        for one in both:
            expect(one.page.locator("#connection")).to_have_attribute("data-state", "waiting")
        ada.add("Ashore", "Post the letters")
        ada.tick("Post the letters")
        ada.expect_line("Connection lost, 2 changes wait")
        expect(ada.card("Post the letters").get_by_text("Not saved yet")).to_be_visible()
        grace.delete(BREAD)
        grace.expect_line("Connection lost, 1 change waits")
        grace.expect_cards("Ashore", CREW)  # as if it were done
    site.in_shell("card = Card.objects.get(title__startswith='Tape'); card.done = True; card.save()")
    with site.served():
        for one in both:
            one.expect_live()
            one.expect_cards("Ashore", CREW, "Post the letters")
            one.expect_done(WINCHES, TAPE, RADIOS, "Post the letters")
        late = window().open()
        late.expect_cards("Ashore", CREW, "Post the letters")


@pytest.mark.faults
@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_card_whose_request_or_answer_is_lost_is_there_once(window, lost) -> None:
    ada, grace = window(), window().open()
    losing = lose_once(ada.page, "**/ws/board/", lost, '"card.add"')
    ada.open()
    ada.add("Ashore", "Post the letters")
    for one in (grace, ada):
        one.expect_cards("Ashore", *ASHORE, "Post the letters")
    ada.expect_live()
    ada.add("Ashore", "Fetch the sails")
    for one in (grace, ada):
        one.expect_cards("Ashore", *ASHORE, "Post the letters", "Fetch the sails")
    assert losing == []


@pytest.mark.faults
@pytest.mark.usefixtures("server")
def test_who_is_told_to_stay_away_does_and_can_come_back(window) -> None:
    ada, grace = window(), window().open()
    lines = keep_lines(ada.page, "**/ws/board/")
    ada.open()
    lines[0].close(code=4000)
    ada.expect_line("Disconnected")
    ada.tick(BREAD)
    ada.expect_refused(BREAD, "Not saved: the client is closed.")
    ada.expect_done(WINCHES, RADIOS)
    ada.page.get_by_role("button", name="Reconnect").click()
    ada.expect_live()
    ada.press(BREAD, "Try again")
    grace.tick(CHART)
    for one in (ada, grace):
        one.expect_done(WINCHES, RADIOS, CHART, BREAD)


@pytest.mark.faults
def test_a_worker_restarts_in_the_middle_and_no_socket_is_lost(window, server) -> None:
    both = window().open(), window().open()
    ada = both[0]
    os.kill(child_of(server.pid), signal.SIGKILL)
    server.wait_for_output("died (SIGKILL)")
    ada.add("Ashore", "Post the letters")
    ada.tick("Post the letters")
    for one in both:
        one.expect_cards("Ashore", *ASHORE, "Post the letters")
        one.expect_done(WINCHES, RADIOS, "Post the letters")
        one.expect_live()
    assert [len(one.sockets) for one in both] == [1, 1]


@pytest.mark.faults
@pytest.mark.usefixtures("server")
def test_offline_and_back(window) -> None:
    ada, grace = window().open(), window().open()
    ada.cut()
    ada.add("On deck", "Varnish")
    ada.rename("Varnish", "Varnish the tiller")
    ada.press(BILGE, "Move to On deck")
    ada.tick(BREAD)
    ada.expect_line("Offline, 4 changes wait")  # the first ones seemed to be under way
    coats = ["Coat 0", "Coat 1", "Coat 2"]
    for title in coats:
        grace.add("On deck", title)
    grace.delete(BREAD)
    grace.expect_live()
    grace.expect_cards("On deck", *DECK, *coats)
    ada.mend()
    ada.expect_live()
    for one in (ada, grace):
        one.expect_cards("On deck", *DECK, *coats, "Varnish the tiller")
        one.expect_cards("Below deck", *BELOW)
        one.expect_cards("Ashore", CREW)
    ada.expect_refused(BILGE, FULL)
    expect(ada.page.locator("#notice")).to_contain_text(f"Somebody has deleted “{BREAD}”.")


def test_who_leaves_before_all_is_saved_is_asked(window, site) -> None:
    with site.served() as server:
        ada = window().open()
        server.stop(signal.SIGKILL)
        ada.add("Ashore", "Post the letters")
        asked: list[str] = []

        def leave(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.accept()

        ada.page.on("dialog", leave)
        with ada.page.expect_event("close"):
            ada.page.close(run_before_unload=True)
    assert asked == ["beforeunload"]


@pytest.mark.usefixtures("server")
def test_it_fits_a_phone(window) -> None:
    one = window(width=360).open()
    one.add("Ashore", "x" * 80)
    one.expect_live()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert one.page.evaluate(overflow) == 0


def test_its_own_tests_pass(monkeypatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "demo.settings")
    result = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "test"], cwd=BOARD, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Ran 13 tests" in result.stderr


def child_of(pid: int) -> int:
    """The process that the server runs the code in."""
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)
