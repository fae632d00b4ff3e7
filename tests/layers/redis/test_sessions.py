"""The sessions of one reader: what each shard is told of how much the reader takes, and what goes back. Pure."""

from fairway.broker.effects import Delivery, Envelope
from fairway.layers.redis.commands import Command, Commands, Lease
from fairway.layers.redis.entries import header_of, pack_state
from fairway.layers.redis.sessions import ORPHANS, Sessions
from fairway.layers.redis.shards import Shards
from fairway.limits import BrokerLimits
from fairway.wire.hub import Demand, Open, Release

EXACT, WINDOWED = (0, 0), (6, 2)


def sessions_of(window: int, threads: int, channels: tuple[str, ...] = ("c",), shards: int = 1) -> Sessions:
    commands = Commands(Shards("t", shards), BrokerLimits())
    return Sessions(commands, Open(1, 0, list(channels), window, threads))


def told(command: Command | None) -> tuple[object, ...]:
    """Return shard, verb and what follows the name of the session."""
    assert command
    assert command.script == "session"
    return command.shard, command.arguments[1], *command.arguments[3:]


def opened(*options: int) -> Sessions:
    """Return sessions in the root and in the shard of a server."""
    sessions = sessions_of(*options)
    for shard in ("#0", "s!"):
        sessions.open(shard)
    return sessions


def deliver(sessions: Sessions, shard: str, entry: str) -> Delivery | None:
    fields = [b"h", header_of(Envelope("m", "c"), 3), b"s", pack_state(None), b"b", b"body"]
    return sessions.deliver(Lease(shard, sessions.name, entry), fields)


def give(sessions: Sessions, shard: str, entry: str) -> int:
    delivery = deliver(sessions, shard, entry)
    assert delivery
    return delivery.receipt


def demand(sessions: Sessions, more: int, ahead: int = 0) -> list[tuple[object, ...]]:
    return [told(command) for command in sessions.demand(Demand(1, more, ahead))]


# --- where there are sessions -----------------------------------------------------------------------------------------


def test_a_session_is_opened_once_in_a_shard() -> None:
    sessions = sessions_of(*WINDOWED)
    assert told(sessions.open("#0")) == ("#0", "open", 10_000, 6, 4, "c")
    assert sessions.open("#0") is None
    assert sessions.shards == ["#0"]


def test_common_shards_have_a_session_for_their_channels_and_the_root_always() -> None:
    sessions = sessions_of(*WINDOWED, channels=("c", "work", "p1!"), shards=8)
    places = {name: sessions._commands.shards.of_channel(name) for name in ("c", "work")}
    assert sessions.home_shards() == list(dict.fromkeys(["#0", places["c"], places["work"], "p1!"]))
    assert told(sessions.open(places["c"]))[5:] == tuple(name for name in places if places[name] == places["c"])
    assert told(sessions.open("s!"))[5:] == ("c", "work", "p1!")


def test_the_session_of_an_exact_reader_begins_with_what_others_of_it_take() -> None:
    sessions = opened(*EXACT)
    demand(sessions, 2)
    assert told(sessions.open("new!")) == ("new!", "open", 10_000, 2, 0, "c")


def test_a_session_that_is_opened_late_by_a_paused_reader_takes_nothing() -> None:
    sessions = opened(*WINDOWED)
    assert [told(command) for command in sessions.end("pause")] == [("#0", "pause"), ("s!", "pause")]
    assert told(sessions.open("late!"))[3] == 0


def test_a_session_is_left_once() -> None:
    sessions = opened(*WINDOWED)
    assert told(sessions.leave("s!")) == ("s!", "close")
    assert sessions.leave("s!") is None
    assert sessions.shards == ["#0"]


# --- demand -----------------------------------------------------------------------------------------------------------


def test_each_shard_is_asked_for_what_an_exact_reader_takes() -> None:
    sessions = opened(*EXACT)
    assert demand(sessions, 1) == [("#0", "demand", 1, 0), ("s!", "demand", 1, 0)]
    assert demand(sessions, 2) == [("#0", "demand", 2, 0), ("s!", "demand", 2, 0)]
    assert demand(sessions, -1) == [("#0", "demand", -1, 0), ("s!", "demand", -1, 0)]


def test_a_delivery_of_one_shard_is_taken_off_what_the_others_are_asked_for() -> None:
    sessions = opened(*EXACT)
    demand(sessions, 1)
    give(sessions, "#0", "5-1")
    assert demand(sessions, 1) == [("#0", "demand", 1, 0)]
    give(sessions, "s!", "5-1")
    assert demand(sessions, 0) == [("#0", "demand", -1, 0)]


def test_more_deliveries_than_were_asked_for_are_no_debt() -> None:
    """Two shards may send the one that was asked for."""
    sessions = opened(*EXACT)
    demand(sessions, 1)
    give(sessions, "#0", "5-1")
    give(sessions, "s!", "5-1")
    assert demand(sessions, 1) == [("#0", "demand", 1, 0), ("s!", "demand", 1, 0)]


def test_a_windowed_reader_asks_each_shard_for_what_it_gave_back_there() -> None:
    sessions = opened(*WINDOWED)
    receipts = [give(sessions, "#0", "5-1"), give(sessions, "#0", "5-2"), give(sessions, "s!", "7-1")]
    released = sessions.release(Release(1, receipts))
    assert [told(command) for _, command in released] == [
        ("#0", "recall", "5-2", "5-1", "5-2"),
        ("s!", "recall", "7-1", "7-1"),
    ]
    assert demand(sessions, 3) == [("#0", "demand", 2, 0), ("s!", "demand", 1, 0)]
    assert demand(sessions, 1) == []


def test_a_window_that_grows_grows_everywhere_and_in_sessions_to_come() -> None:
    sessions = opened(*WINDOWED)
    assert demand(sessions, 2, 2) == [("#0", "demand", 2, 2), ("s!", "demand", 2, 2)]
    assert told(sessions.open("new!")) == ("new!", "open", 10_000, 8, 6, "c")


def test_a_commit_makes_room_in_a_window_and_none_in_an_exact_session() -> None:
    assert sessions_of(*WINDOWED).place_after_commit == 1
    assert sessions_of(*EXACT).place_after_commit == 0


# --- deliveries -------------------------------------------------------------------------------------------------------


def test_each_delivery_has_a_receipt_that_tells_where_it_is_held() -> None:
    sessions = opened(*WINDOWED)
    first, second = give(sessions, "#0", "5-1"), give(sessions, "s!", "5-1")
    assert first != second
    assert sessions.lease(second) == Lease("s!", sessions.name, "5-1")
    assert sessions.take_lease(second) == Lease("s!", sessions.name, "5-1")
    assert sessions.lease(second) is None
    assert sessions.take_lease(second) is None


def test_what_is_not_held_is_not_given_back() -> None:
    sessions = opened(*EXACT)
    receipt = give(sessions, "#0", "5-1")
    ((shard, command),) = sessions.release(Release(1, [receipt, 99]))
    assert (shard, told(command)) == ("#0", ("#0", "recall", "5-1", "5-1"))
    assert sessions.release(Release(1, [receipt])) == []


def test_what_arrives_while_something_is_given_back_may_be_none() -> None:
    """It waits for the answer; what was taken back with it is dropped, also when it arrives afterwards."""
    sessions = opened(*WINDOWED)
    receipt = give(sessions, "#0", "5-1")
    sessions.release(Release(1, [receipt]))
    fields = [b"h", header_of(Envelope("m", "c"), 5), b"s", b"", b"b", b"body"]
    for entry in ("5-2", "5-4"):
        assert sessions.deliver(Lease("#0", sessions.name, entry), fields) is None
    (delivery,) = sessions.recalled("#0", sessions.name, [b"5-2", b"5-3"])
    lease = sessions.lease(delivery.receipt)
    assert lease
    assert lease.entry == "5-4"
    assert sessions.deliver(Lease("#0", sessions.name, "5-3"), fields) is None
    assert sessions.deliver(Lease("#0", sessions.name, "5-5"), fields) is not None
    assert sessions.recalled("#0", "another name", []) == []


def test_a_pause_gives_back_what_had_not_been_read() -> None:
    """What each shard says to be held, beyond the entry that was read last there."""
    sessions = opened(*WINDOWED)
    give(sessions, "#0", "5-9")
    commands = sessions.give_back_unread(["#0", "s!", "left!"], [[b"5-9", b"5-10", b"6-0"], [], [b"1-1"]])
    assert [told(command) for command in commands] == [("#0", "release", "5-10", "6-0"), ("left!", "release", "1-1")]


# --- beginning anew ---------------------------------------------------------------------------------------------------


def test_sessions_that_begin_anew_hold_nothing_and_have_another_name() -> None:
    sessions = opened(*EXACT)
    demand(sessions, 1)
    name, receipt = sessions.name, give(sessions, "#0", "5-1")
    sessions.begin()
    assert sessions.name != name
    assert sessions.shards == []
    assert sessions.lease(receipt) is None
    assert told(sessions.open("#0"))[3] == 0
    late = sessions.deliver(Lease("#0", name, "5-2"), [])
    assert late is None


def test_sessions_of_lost_lines_are_closed_until_that_is_known_to_have_happened() -> None:
    sessions = opened(*WINDOWED)
    name = sessions.name
    sessions.begin()
    found = sessions.orphans()
    assert [(command.shard, command.arguments[1:3]) for command, _ in found] == [
        ("#0", ["close", name]),
        ("s!", ["close", name]),
    ]
    found[0][1]()
    assert [command.shard for command, _ in sessions.orphans()] == ["s!"]


def test_orphans_are_bounded() -> None:
    sessions = sessions_of(*WINDOWED)
    for number in range(ORPHANS + 1):
        sessions.open(f"s{number}!")
    sessions.begin()
    left = [command.shard for command, _ in sessions.orphans()]
    assert (len(left), left[0]) == (ORPHANS, "s1!")
