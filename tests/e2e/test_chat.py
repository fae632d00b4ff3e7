"""People chat through the demo: real Chromium windows, the real server, the real chain between them."""

import signal
import sys
import uuid

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.e2e.chat import Site
from tests.e2e.lines import lose_once
from tests.support.dev_project import edit
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="system Chromium is a Debian matter")]


@pytest.mark.usefixtures("server")
def test_two_windows_chat_and_a_third_one_finds_the_history(visitor, tmp_path) -> None:
    ada, grace = visitor("Ada").enter("Harbour Talk"), visitor("Grace").enter("Harbour Talk")
    assert ada.page.url == grace.page.url
    assert ada.page.url.endswith("/harbour-talk/")
    ada.expect_here("Ada", "Grace")
    grace.expect_here("Grace", "Ada")
    expect(ada.quiet_lines).to_have_text(["Grace came in"])

    ada.say("Is anybody out there?")
    grace.expect_messages("Is anybody out there?")
    grace.say("Aye.\nWhat is the depth?")
    said = ["Is anybody out there?", "Aye.\nWhat is the depth?"]
    ada.expect_messages(*said)
    grace.expect_messages(*said)
    expect(ada.own_messages).to_have_text(said[:1])
    expect(grace.own_messages).to_have_text(said[1:])

    linus = visitor("Linus").enter("Harbour Talk")
    linus.expect_messages(*said)
    linus.expect_here("Linus", "Ada", "Grace")
    ada.expect_here("Ada", "Grace", "Linus")
    shot = tmp_path / "chat.png"
    linus.page.screenshot(path=shot)
    assert shot.stat().st_size > 10_000

    linus.leave()
    ada.expect_here("Ada", "Grace")
    grace.expect_here("Grace", "Ada")
    expect(grace.quiet_lines).to_have_text(["Linus came in", "Linus left"])


@pytest.mark.usefixtures("server")
def test_rooms_are_apart(visitor) -> None:
    ada, grace = visitor("Ada").enter("north"), visitor("Grace").enter("søuth")
    ada.say("north")
    grace.say("south")
    ada.expect_messages("north")
    grace.expect_messages("south")
    ada.expect_here("Ada")
    visitor("Linus").enter("east")  # where nothing is said
    ada.page.get_by_role("link", name="All rooms").click()
    expect(ada.page.locator(".recent li")).to_have_text(["søuth", "north"])
    ada.page.get_by_role("textbox", name="Room").fill("!?")
    ada.page.get_by_role("button", name="Enter the room").click()
    expect(ada.page.get_by_text("needs a letter or a number")).to_be_visible()


@pytest.mark.usefixtures("server")
def test_markup_is_shown_as_text(visitor) -> None:
    eve, ada = visitor("<i>Eve</i>").enter("harbour"), visitor("Ada").enter("harbour")
    attack = '<img src="x" onerror="window.attacked = 1"><b>bold</b><script>window.attacked = 2</script>'
    eve.say(attack)
    ada.expect_messages(attack)
    ada.expect_here("Ada", "<i>Eve</i>")
    grace = visitor("Grace").enter("harbour")
    grace.expect_messages(attack)
    for page in (eve.page, ada.page, grace.page):
        expect(page.locator("#log :is(img, b, i, script), #members i")).to_have_count(0)
        assert page.evaluate("window.attacked") is None


@pytest.mark.usefixtures("server")
def test_a_window_without_a_name_is_asked_for_one(visitor, site) -> None:
    ada = visitor("Ada")
    ada.page.goto(f"{site.url}harbour/")
    dialog = ada.page.get_by_role("dialog")
    dialog.get_by_label("Your name").fill("A\u202ed\u202ea")
    dialog.get_by_role("button").click()
    expect(dialog).to_contain_text("no control characters")
    dialog.get_by_label("Your name").fill("  Ada   L. ")
    dialog.get_by_role("button").click()
    ada.expect_connection("open")
    expect(dialog).to_be_hidden()
    ada.expect_here("Ada L.")


@pytest.mark.usefixtures("server")
def test_a_text_that_is_too_long_is_not_sent(visitor) -> None:
    ada = visitor("Ada").enter("harbour")
    box, send = ada.page.get_by_label("Message to"), ada.page.get_by_role("button", name="Send")
    expect(send).to_be_disabled()
    box.fill("🙂" * 2_001)
    expect(send).to_be_disabled()
    expect(ada.page.locator("#counter")).to_have_text("2,001 of 2,000")
    box.press("Enter")
    expect(box).to_have_value("🙂" * 2_001)
    ada.say("🙂" * 2_000)
    ada.expect_messages("🙂" * 2_000)


IS_AT_END = """
() => {
  const { scrollHeight, scrollTop, clientHeight } = document.getElementById("scroller");
  return scrollHeight - scrollTop - clientHeight < 2;
}
"""


@pytest.mark.usefixtures("server")
def test_the_view_follows_the_talk_unless_one_reads_further_up(visitor) -> None:
    ada, grace = visitor("Ada").enter("harbour"), visitor("Grace").enter("harbour")
    for number in range(20):
        ada.say(f"line {number}")
    expect(grace.messages).to_have_count(20)
    grace.page.wait_for_function(IS_AT_END)
    jump = grace.page.locator("#jump")
    expect(jump).to_be_hidden()

    grace.page.evaluate("document.getElementById('scroller').scrollTop = 0")
    expect(jump).to_be_visible()
    ada.say("news")
    expect(jump).to_have_text("↓ 1 new message")
    assert grace.page.evaluate("document.getElementById('scroller').scrollTop") == 0
    jump.click()
    grace.page.wait_for_function(IS_AT_END)
    expect(jump).to_be_hidden()


@pytest.mark.usefixtures("server")
def test_the_last_fifty_are_shown_on_joining(visitor) -> None:
    ada = visitor("Ada").enter("harbour")
    for number in range(51):
        ada.say(str(number))
    grace = visitor("Grace").enter("harbour")
    grace.expect_messages(*map(str, range(1, 51)))
    expect(grace.quiet_lines).to_have_text(["Older messages are not shown"])


@pytest.mark.faults
def test_a_killed_server_comes_back_and_so_does_everybody_who_is_still_there(site, visitor) -> None:
    with site.served() as server:
        ada, grace, linus = (visitor(name).enter("harbour") for name in ("Ada", "Grace", "Linus"))
        ada.say("one")
        grace.say("two")
        ada.expect_here("Ada", "Grace", "Linus")
        server.stop(signal.SIGKILL)
        ada.expect_connection("waiting")
        linus.leave()
        box = ada.page.get_by_label("Message to")
        box.fill("three")
        box.press("Enter")
        expect(ada.page.get_by_role("alert")).to_contain_text("no connection")
        expect(box).to_have_value("three")  # it is kept for its writer to see, and not sent behind their back

    with site.served():
        ada.expect_connection("open")
        grace.expect_connection("open")
        ada.expect_here("Ada", "Grace")
        grace.expect_here("Grace", "Ada")
        grace.expect_messages("one", "two")
        ada.say("three")
        for someone in (ada, grace, visitor("Alan").enter("harbour")):
            someone.expect_messages("one", "two", "three")
        expect(ada.quiet_lines).to_have_text(["Grace came in", "Linus came in", "Alan came in", "Linus left"])


def test_windows_stay_connected_while_the_code_changes(tmp_path, code, visitor, site) -> None:
    with Site(site.port, tmp_path / "chat.sqlite3", code).served() as server:
        ada, grace = visitor("Ada").enter("harbour"), visitor("Grace").enter("harbour")
        ada.say("one")
        consumers = code / "chat" / "consumers.py"
        before = consumers.read_text()
        for after in (before.replace('"text": frame.text', '"text": frame.text.upper()'), ")", before):
            edit(server, consumers, after)
        edit(server, consumers, before.replace('"text": frame.text', '"text": frame.text[::-1]'))
        ada.say("two")
        grace.say("three")
        for someone in (ada, grace):
            someone.expect_messages("one", "owt", "eerht")
            someone.expect_connection("open")
        # Nobody was away, not even for a moment.
        expect(ada.quiet_lines).to_have_text(["Grace came in"])
        expect(grace.quiet_lines).to_have_count(0)
        assert server.output().count("WebSocket CONNECT") == 2
        assert "WebSocket DISCONNECT" not in server.output()


RECONNECT = [1001, 1006, 1011, 1012, 1013]
STAY_AWAY = [1000, 1002, 1003, 1007, 1008, 1009, 4000, 4001, 4499]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("codes", "state"), [(RECONNECT, "waiting"), (STAY_AWAY, "closed")], ids=["again", "never"])
def test_the_page_comes_back_after_the_codes_that_ask_for_it(visitor, codes, state) -> None:
    ada = visitor("Ada").enter("harbour")
    for code in codes:

        def end(route: WebSocketRoute, code: int = code) -> None:
            route.on_message(lambda _: route.close(code=code, reason=f"code {code}"))

        ada.page.route_web_socket("**/ws/chat/**", end)  # the latest route counts
        ada.page.reload()
        ada.expect_connection(state)
        if state == "closed":
            expect(ada.page.locator("#connection-text")).to_have_text(f"Disconnected: code {code}")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_message_that_may_be_lost_says_so_and_stands_in_the_room_once(visitor, lost) -> None:
    ada, grace = visitor("Ada"), visitor("Grace").enter("harbour")
    losing = lose_once(ada.page, "**/ws/chat/**", lost, "unsure")
    ada.enter("harbour")
    box = ada.page.get_by_label("Message to")
    box.fill("unsure")
    box.press("Enter")
    expect(box).to_have_value("")
    again = ada.page.get_by_role("button", name="Send again")
    if lost == "request":
        expect(again).to_be_visible()
        ada.expect_connection("open")
        grace.expect_messages()
        again.click()
    grace.expect_messages("unsure")
    expect(ada.page.locator(":is(.pending, .failed)")).to_have_count(0)  # what arrived is confirmed by the history
    ada.expect_messages("unsure")
    assert losing == []


BIG = "x" * 40_000
BEFORE_JOINING = [
    (b"\x00\x01", "binary"),
    ("", "not-json"),
    ("hello", "not-json"),
    ('{"type": "join"', "not-json"),
    ("[" * 30_000, "not-json"),
    ("1" * 30_000, "not-json"),
    (BIG, "too-long"),
    ("[]", "not-an-object"),
    ("null", "not-an-object"),
    ('"join"', "not-an-object"),
    ("{}", "unknown-type"),
    ('{"type": 7}', "unknown-type"),
    ('{"type": ["join"]}', "unknown-type"),
    ('{"type": "constructor"}', "unknown-type"),
    ('{"type": "welcome"}', "unknown-type"),
    ('{"type": "join"}', "bad-name"),
    ('{"type": "join", "name": 7}', "bad-name"),
    ('{"type": "join", "name": {"a": []}}', "bad-name"),
    ('{"type": "join", "name": ""}', "bad-name"),
    ('{"type": "join", "name": " \\t "}', "bad-name"),
    ('{"type": "join", "name": "\\u200d"}', "bad-name"),
    ('{"type": "join", "name": "a\\u0000b"}', "bad-name"),
    ('{"type": "join", "name": "\\u202eadA"}', "bad-name"),
    ('{"type": "join", "name": "\\ud800"}', "bad-name"),
    ('{"type": "join", "name": "%s"}' % ("x" * 41), "bad-name"),
    ('{"type": "join", "name": "Eve", "after": -1}', "bad-after"),
    ('{"type": "join", "name": "Eve", "after": true}', "bad-after"),
    ('{"type": "join", "name": "Eve", "after": "1"}', "bad-after"),
    ('{"type": "join", "name": "Eve", "after": 1.5}', "bad-after"),
    ('{"type": "join", "name": "Eve", "after": NaN}', "bad-after"),
    ('{"type": "join", "name": "Eve", "after": 9223372036854775808}', "bad-after"),
    (f'{{"type": "say", "text": "x", "ref": "{uuid.uuid4()}"}}', "not-joined"),
]
AFTER_JOINING = [
    ('{"type": "join", "name": "Eve"}', "already-joined"),
    ('{"type": "say", "text": "x"}', "bad-ref"),
    ('{"type": "say", "text": "x", "ref": 7}', "bad-ref"),
    ('{"type": "say", "text": "x", "ref": ["a"]}', "bad-ref"),
    ('{"type": "say", "text": "x", "ref": "x"}', "bad-ref"),
    *(
        (f'{{"type": "say", "ref": "{uuid.uuid4()}", "text": {text}}}', code)
        for text, code in [
            ("null", "bad-text"),
            ("7", "bad-text"),
            ('["x"]', "bad-text"),
            ('"a\\u0000b"', "bad-text"),
            ('"a\\ud800b"', "bad-text"),
            ('""', "empty-text"),
            ('" \\n "', "empty-text"),
            ('"\\u200b"', "empty-text"),
            (f'"{"x" * 2_001}"', "text-too-long"),
        ]
    ),
]

# Opens a socket of its own, sends the frames one after another, and returns the first answer to each.
TALK = """
async ([path, frames]) => {
  const socket = new WebSocket(`ws://${location.host}${path}`);
  const answers = [];
  let wake = () => {};
  socket.onmessage = (event) => { answers.push(JSON.parse(event.data)); wake(); };
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onclose = reject; });
  const firsts = [];
  for (const { frame, until } of frames) {
    const before = answers.length;
    socket.send(Array.isArray(frame) ? new Uint8Array(frame) : frame);
    await new Promise((resolve, reject) => {
      socket.onclose = (event) => reject(`closed with ${event.code}`);
      wake = () => answers.slice(before).some((answer) => answer.type === until) && resolve();
    });
    firsts.push(answers[before]);
  }
  socket.close();
  return firsts;
}
"""


@pytest.mark.usefixtures("server")
def test_bad_frames_are_answered_and_the_socket_lives_on(visitor) -> None:
    ada = visitor("Ada").enter("harbour")
    good = f'{{"type": "say", "text": "still here", "ref": "{uuid.uuid4()}", "unknown": 1}}'
    talk = [
        *((frame, "error", code) for frame, code in BEFORE_JOINING),
        ('{"type": "join", "name": "Eve"}', "joined", None),
        *((frame, "error", code) for frame, code in AFTER_JOINING),
        (good, "message", None),
        (good, "message", None),
    ]
    sent = [{"frame": list(frame) if isinstance(frame, bytes) else frame, "until": until} for frame, until, _ in talk]
    answers = ada.page.evaluate(TALK, ["/ws/chat/harbour/", sent])
    for (frame, _, code), answer in zip(talk, answers, strict=True):
        assert answer.get("code") == code, (frame[:80], answer)
    assert answers[len(BEFORE_JOINING)]["type"] == "welcome"
    assert answers[-1] == answers[-2]  # the same ref again: the same message
    ada.expect_messages("still here")


@pytest.mark.usefixtures("server")
def test_a_phone_shows_the_people_when_asked(visitor) -> None:
    ada = visitor("Ada").enter("harbour")
    ada.page.set_viewport_size({"width": 360, "height": 640})
    people = ada.page.get_by_role("complementary", name="Who is here")
    expect(people).to_be_hidden()
    ada.page.get_by_role("button", name="Who is here").click()
    expect(people).to_be_visible()
    ada.page.keyboard.press("Escape")
    expect(people).to_be_hidden()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    wait_until(lambda: ada.page.evaluate(overflow) == 0, "a page no wider than the phone")
