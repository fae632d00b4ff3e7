"""Groups of one server: a frame is encoded once and compressed once, and a membership is what the layer was told."""

import pytest

from fairway.broker.effects import Add, Announced, Discard, GroupFrame
from fairway.layers.codec import encode_message
from fairway.server import fanout as module
from fairway.server.fanout import GONE, Fanout, GroupMessage
from fairway.server.replies import GroupReply
from tests.server.support import DEFLATE, TEXT, serving


class Inbox:
    """What a fan-out asks of its inbox."""

    def __init__(self):
        self.left = []

    def leave(self, group, generation):
        self.left.append((group, generation))


class Member:
    """A connection that notes what it is given."""

    def __init__(self, error=None):
        self.groups = None
        self.error = error
        self.seen = []
        self.joined = []

    def on_join(self, group):
        self.joined.append(group)

    def on_group(self, message):
        self.seen.append(message)
        if self.error:
            raise self.error

    def on_event(self, body):
        self.seen.append(body)


def make():
    inbox = Inbox()
    return Fanout(inbox, 1024), inbox


def send(fanout, group="g", name="", **message):
    fanout.deliver(GroupFrame(group, encode_message(message), "type" in message, name))


@pytest.mark.parametrize("message", [{"text": "x"}, {"type": "chat.said"}])
def test_a_message_that_comes_again_after_its_broker_was_lost_is_dropped(message):
    fanout, _ = make()
    member = Member()
    fanout.add(Add("g", "a", 1), member)
    for name in ("s1!c1.1.0", "s1!c1.1.0", "s1!c1.2.0", "", ""):
        send(fanout, name=name, **message)
    assert len(member.seen) == 4


def test_members_come_and_go():
    fanout, inbox = make()
    a, b = Member(), Member()
    fanout.add(Add("g", "a", 1), a)
    fanout.add(Add("g", "b", 2), b)
    assert fanout.members("g") == [a, b]
    fanout.discard(Discard("g", "a"), a)
    assert (fanout.members("g"), inbox.left) == ([b], [])
    fanout.forget(b)
    assert (len(fanout), inbox.left) == (0, [("g", 2)])


def test_an_add_for_a_connection_that_is_gone_is_dropped_and_told():
    fanout, inbox = make()
    gone = Member()
    fanout.forget(gone)
    fanout.add(Add("g", "a", 1), gone)
    fanout.add(Add("g", "b", 2), None)
    assert (inbox.left, len(fanout), gone.groups) == ([("g", 1), ("g", 2)], 0, GONE)
    assert not GONE


def test_an_add_for_one_that_is_gone_keeps_the_others():
    fanout, inbox = make()
    member = Member()
    fanout.add(Add("g", "a", 1), member)
    fanout.add(Add("g", "b", 2), None)
    assert not inbox.left
    fanout.forget(member)
    assert inbox.left == [("g", 2)]


def test_adding_and_discarding_twice_is_nothing():
    fanout, inbox = make()
    member = Member()
    fanout.add(Add("g", "a", 1), member)
    fanout.add(Add("g", "a", 2), member)
    send(fanout, text="x")
    assert len(member.seen) == 1
    fanout.discard(Discard("g", "a"), member)
    fanout.discard(Discard("g", "a"), member)
    assert inbox.left == [("g", 2)]


def test_all_members_get_the_same_object():
    fanout, _ = make()
    members = [Member() for _ in range(3)]
    for number, member in enumerate(members):
        fanout.add(Add("g", str(number), number), member)
    send(fanout, text="x" * 2000)
    messages = {id(member.seen[0]) for member in members}
    assert len(messages) == 1
    message = members[0].seen[0]
    assert message.plain is message.plain
    assert message.packed is message.packed


def test_the_failure_of_one_member_is_not_the_others(caplog):
    fanout, _ = make()
    members = [Member(), Member(ValueError("broken")), Member()]
    for number, member in enumerate(members):
        fanout.add(Add("g", str(number), number), member)
    send(fanout, text="x")
    assert [len(member.seen) for member in members] == [1, 1, 1]
    assert "broken" in caplog.text


@pytest.mark.parametrize("message", [{"text": 1}, {"close": 1006}, {"close": -1}, {"text": "x", "reason": 5}])
def test_what_cannot_be_sent_is_one_error(message, caplog):
    fanout, _ = make()
    member = Member()
    fanout.add(Add("g", "a", 1), member)
    send(fanout, **message)
    assert not member.seen
    assert len(caplog.records) == 1


def test_a_typed_message_goes_encoded_to_each_member():
    fanout, _ = make()
    member = Member()
    fanout.add(Add("g", "a", 1), member)
    send(fanout, type="room.event", n=1)
    assert member.seen == [encode_message({"type": "room.event", "n": 1})]


def test_a_group_without_members_costs_nothing():
    fanout, inbox = make()
    send(fanout, text=1)
    assert not inbox.left


def test_close_codes_and_empty_frames():
    assert GroupMessage("g", GroupReply(close=True), 1).close_code == 1000
    assert GroupMessage("g", GroupReply(close=4000), 1).close_code == 4000
    assert not GroupMessage("g", GroupReply(close=4000), 1).has_frame
    assert GroupMessage("g", GroupReply(data=b""), 1).plain == b"\x82\x00"


@pytest.mark.usefixtures("quick", "loop_factory")
async def test_sockets_get_one_encoding_and_one_compression(monkeypatch):
    packed, plain = [], []
    monkeypatch.setattr(module, "pack", lambda *args, pack=module.pack: packed.append(args) or pack(*args))
    encode = module.frames.encode_text
    monkeypatch.setattr(module.frames, "encode_text", lambda text: plain.append(text) or encode(text))
    async with serving() as house:
        peers = [await house.open(*[DEFLATE] * (number % 2)) for number in range(6)]
        for _, connect in peers:
            house.layer.group_add("g", connect.reply)
        house.layer.send_group("g", {"text": "x" * 5000})
        house.layer.send_group("g", {"text": "small"})
        for number, (peer, _) in enumerate(peers):
            first, payload = await peer.frame()
            assert first == (0xC1 if number % 2 else 0x81)
            assert len(payload) == 5000 or number % 2
            assert await peer.frame() == (0x80 | TEXT, b"small")
        assert (len(packed), len(plain)) == (1, 2)
        assert sorted(await house.layer.agroup_channels("g")) == sorted(connect.reply for _, connect in peers)


@pytest.mark.usefixtures("quick", "loop_factory")
async def test_a_group_may_close_its_sockets():
    async with serving() as house:
        peers = [await house.open() for _ in range(3)]
        for _, connect in peers:
            house.layer.group_add("g", connect.reply)
        house.layer.send_group("g", {"text": "bye", "close": 4001, "reason": "over"})
        for peer, _ in peers:
            assert await peer.text() == "bye"
            assert await peer.closed() == 4001
        assert not len(house.gateway.fanout)


# --- a new broker -----------------------------------------------------------------------------------------------------


def test_a_new_broker_is_told_of_each_group_once_and_names_its_own_generations():
    fanout, inbox = make()
    a, b = Member(), Member()
    for group, member in (("g", a), ("g", b), ("h", a)):
        fanout.add(Add(group, "x", 7), member)
    assert fanout.renew() == ["g", "h"]
    fanout.announced(Announced("g", 1))
    fanout.forget(b)
    assert inbox.left == []
    fanout.announced(Announced("h", 2))
    fanout.forget(a)
    assert sorted(inbox.left) == [("g", 1), ("h", 2)]


def test_who_left_before_the_answer_leaves_again_with_it():
    """The generation of the old broker may be that of another membership at the new one."""
    fanout, inbox = make()
    member = Member()
    fanout.add(Add("g", "x", 7), member)
    fanout.renew()
    fanout.forget(member)
    fanout.announced(Announced("g", 1))
    assert inbox.left == [("g", 0), ("g", 1)]
    assert (len(fanout), fanout._generations) == (0, {})
