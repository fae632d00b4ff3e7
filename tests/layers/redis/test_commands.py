"""Commands as data: what a layer asks of which shard."""

import msgspec
import pytest

from fairway.broker.effects import Done, Ending, Envelope, Frame, Grant, SaveState, Send
from fairway.layers.redis.commands import Commands, Lease, Outbox, milliseconds, queue_name
from fairway.layers.redis.entries import items_of
from fairway.layers.redis.shards import Shards
from fairway.limits import UNLIMITED, BrokerLimits, ChannelRule

LEASE = Lease("s1!", "r", "1-1")


@pytest.fixture
def commands() -> Commands:
    rules = (("short.*", ChannelRule(expiry=2)), ("view!", ChannelRule(capacity=7)), ("*", ChannelRule()))
    return Commands(Shards("t"), BrokerLimits(rules=rules))


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0), (1.5, 1500), (UNLIMITED, -1), (-0.5, -1), (0.0004, 0)])
def test_times_are_whole_milliseconds(seconds: float, expected: int) -> None:
    assert milliseconds(seconds) == expected


def test_messages_of_a_prefix_stand_in_one_queue() -> None:
    assert [queue_name(name) for name in ("a", "view!1", "view!", "body?x")] == ["a", "view!", "view!", "body?x"]


def test_the_first_rule_that_matches_a_queue_holds(commands: Commands) -> None:
    assert commands.rule("short.one").expiry == 2
    assert commands.rule("view!1").capacity == 7
    assert commands.rule("other") is commands.rule("other")


def test_rules_are_remembered_for_a_bounded_number_of_names(commands: Commands) -> None:
    for number in range(2_000):
        commands.rule(f"short.{number}")
        commands.rule(f"body?{number}")
    assert len(commands._known) == 1_000
    assert commands.rule("short.1999").expiry == 2


def test_every_script_is_told_the_limits(commands: Commands) -> None:
    limits = commands.limits
    packed = commands.tick("#0", []).arguments[0]
    assert isinstance(packed, bytes)
    assert msgspec.msgpack.decode(packed) == [
        limits.total,
        limits.inbox,
        limits.inbox_items,
        limits.dead_letters,
        limits.dead_letter_bytes,
        2_000,
        600_000,
        limits.repeat_count,
        limits.wills,
    ]


def test_names_are_never_used_twice(commands: Commands) -> None:
    other = Commands(Shards("t"), BrokerLimits())
    assert len({commands.new_id(), commands.new_id(), other.new_id()}) == 3


def test_a_message_with_an_id_is_remembered_under_it(commands: Commands) -> None:
    for effect, name, known in (
        (Send("a", b"x", id="mine"), "", "mine"),
        (Send("a", b"x"), "given", "given"),
        (Send("a", b"x"), "", ""),
    ):
        assert commands.publish(effect, name).arguments[4] == known


def outbox(commands: Commands, *effects: Send | SaveState | Grant, is_owned: bool = True) -> Outbox:
    return Outbox(commands, [(f"m.{index}", effect) for index, effect in enumerate(effects)], is_owned=is_owned)


def items(box: Outbox) -> list[object]:
    return items_of([part.encode() if isinstance(part, str) else part for part in box.fields])  # type: ignore[union-attr]


def test_an_outbox_tells_the_owner_and_sends_the_rest(commands: Commands) -> None:
    box = outbox(commands, Send("s1!c", b"12"), Send("b", b"x"), SaveState("s1!c", {"k": b"v"}), Grant("s1!c", 9))
    box.say(Done("s1!c", 3))
    assert [type(item).__name__ for item in items(box)] == ["Frame", "State", "Credit", "Done"]
    assert box.size == 2 + len(msgspec.msgpack.encode({"k": b"v"}))
    assert (box.sends[0], box.sends[5]) == ("b", b"x")
    header = msgspec.msgpack.decode(box.sends[3])  # type: ignore[arg-type]
    assert header[:2] == ["m.1", "b"]


def test_without_an_owner_what_goes_below_a_prefix_is_looked_at(commands: Commands) -> None:
    box = outbox(commands, Send("view!1", b"x"), is_owned=False)
    assert (items(box), box.sends[:2]) == ([], ["view!1", 7])
    assert items(outbox(commands, Send("view!1", b"x"))) == [Frame("view!1", b"x")]


@pytest.mark.parametrize(
    ("state", "changes", "after"),
    [
        (None, [], None),
        (None, [{"a": b"1", "b": None}], {"a": b"1"}),
        ({"a": b"1"}, [{"a": None}, {"b": b"2"}], {"b": b"2"}),
        ({"a": b"1"}, [], {"a": b"1"}),
    ],
)
def test_the_next_run_sees_what_was_saved(
    commands: Commands,
    state: dict[str, bytes] | None,
    changes: list[dict[str, bytes | None]],
    after: dict[str, bytes] | None,
) -> None:
    envelope = Envelope("m", "w", "s1!c", 0, state=state)
    box = outbox(commands, SaveState("s1!other", {"x": b"y"}), *(SaveState("s1!c", change) for change in changes))
    assert box.state_after(envelope) == after


def test_later_pauses_twice_as_long_each_time_and_ends(commands: Commands) -> None:
    found = []
    for retries in range(12):
        envelope = Envelope("m", "w", "s1!c", 0, retries=retries)
        arguments = commands.commit(LEASE, envelope, 1, outbox(commands), Ending.LATER, 0).arguments
        found.append((arguments[7], arguments[8]))
    assert found[:3] == [("later", 50), ("later", 100), ("later", 200)]
    assert [ending for ending, _ in found[9:]] == ["later", "dead", "dead"]


def test_a_submission_says_what_is_sent_again(commands: Commands) -> None:
    first = commands.submission(Envelope("m", "short.x", "s1!c", 4), b"x", "n")
    again = commands.submission(Envelope("m", "view!1", "s1!c", -1, attempt=2), b"x", "")
    assert first[:9] == ["short.x", 10_000, 2_000, "s1!c", 4, "m", "short.x", 0, "n"]
    assert again[:9] == ["view!", 7, -1, "s1!c", -1, "", "view!1", 1, ""]


def test_an_answer_names_the_delivery_it_answers(commands: Commands) -> None:
    assert commands.answer(Send("s1!c", b"x"), LEASE, begins=True).arguments[-3:] == ["r", "1-1", 1]
    assert commands.publish(Send("s1!c", b"x")).arguments[-3:] == ["", "", 0]


def test_a_process_is_forgotten_in_all_common_shards() -> None:
    commands = Commands(Shards("t", 3), BrokerLimits())
    assert [command.shard for command in commands.forget("view!")] == ["#0", "#1", "#2"]
