"""Groups: sure memberships, what a send to them promises, and how they end."""

from fairway.broker.effects import Add, Discard, GroupFrame, GroupSend, OwnerGone, Send
from fairway.errors import LayerUnavailable
from fairway.layers.codec import decode_message, encode_message
from fairway.limits import ChannelRule
from fairway.testing.layer_conformance.base import ConformanceBase, Form, Owner, conformance
from fairway.testing.layer_conformance.sending import raised


class GroupConformance(ConformanceBase):
    """`group_add`, `group_discard`, `send_group`; `group_channels` is among the questions in `inboxes`."""

    async def frames(self, owner: Owner) -> list[int]:
        """Return the numbers of all group messages that an owner has been sent."""
        found = await owner.all_items()
        return [decode_message(item.body)["n"] for item in found if isinstance(item, GroupFrame)]

    @conformance
    async def test_a_membership_is_sure(self, form: Form) -> None:
        """Once an add has returned, every later send reaches the member, whoever sends."""
        layer = self.layer()
        rival = self.make_rival(layer)
        owner = self.owner(layer)
        for value in range(20):
            await form(layer, "group_add", f"g{value}", "s1!c1")
            await form(rival, "send_group", f"g{value}", {"n": value})
        assert await self.frames(owner) == list(range(20))

    @conformance
    async def test_a_group_message_reaches_an_owner_once(self, form: Form) -> None:
        """Whatever the number of its members and of its prefixes; the owner takes it to each member itself."""
        layer = self.layer()
        owner, other = self.owner(layer, "s1!", "s1web!"), self.owner(layer, "s2!")
        for channel in ("s1!c1", "s1!c2", "s1web!r1", "s2!c1"):
            await form(layer, "group_add", "g", channel)
        adds = [await owner.wait_item(Add) for _ in range(3)]
        assert [(add.group, add.channel) for add in adds] == [("g", "s1!c1"), ("g", "s1!c2"), ("g", "s1web!r1")]
        assert adds[0].generation < adds[1].generation < adds[2].generation
        await form(layer, "send_group", "g", {"n": 1})
        frame = await owner.wait_item(GroupFrame)
        assert (frame.group, decode_message(frame.body), frame.typed) == ("g", {"n": 1}, False)
        assert frame.id
        assert await owner.all_items() == []
        assert await self.frames(other) == [1]
        await form(layer, "send_group", "g", {"type": "chat.join", "n": 2})
        assert (await owner.wait_item(GroupFrame)).typed

    @conformance
    async def test_sends_of_one_sender_arrive_in_order(self, form: Form) -> None:
        """Sends to one group, mixed with direct sends, from one sender."""
        layer = self.layer()
        owner = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        await owner.wait_item(Add)
        for value in range(0, 20, 2):
            await form(layer, "send_group", "g", {"n": value})
            await form(layer, "send", "s1!c1", {"n": value + 1})
        items = await owner.all_items()
        assert [decode_message(item.body)["n"] for item in items] == list(range(20))  # type: ignore[union-attr]

    @conformance
    async def test_leaving_with_an_add_on_its_way(self, form: Form) -> None:
        """A leave that names an older generation is void: the add that it crossed is never lost."""
        layer = self.layer()
        owner = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        first = await owner.wait_item(Add)
        await form(layer, "group_discard", "g", "s1!c1")
        assert await owner.wait_item(Discard) == Discard("g", "s1!c1")
        await form(layer, "group_add", "g", "s1!c2")
        owner.inbox.leave("g", first.generation)
        await form(layer, "send_group", "g", {"n": 1})
        second = await owner.wait_item(Add)
        assert await self.frames(owner) == [1]
        owner.inbox.leave("g", second.generation)
        await self.wait_until(lambda: layer.statistics().groups == 0)
        await form(layer, "send_group", "g", {"n": 2})
        assert await self.frames(owner) == []

    @conformance
    async def test_normal_channels_are_members(self, form: Form) -> None:
        """They live in the layer: each gets its copy until it is discarded."""
        layer = self.layer()
        readers = [layer.reader(["a"]), layer.reader(["b?x"])]
        for channel in ("a", "b?x", "a"):
            await form(layer, "group_add", "g", channel)
        assert sorted(await form(layer, "group_channels", "g")) == ["a", "b?x"]
        await form(layer, "send_group", "g", {"n": 1})
        assert [await self.numbers(form, reader, 1) for reader in readers] == [[1], [1]]
        await form(layer, "group_discard", "g", "a")
        await form(layer, "group_discard", "g", "a")
        await form(layer, "group_discard", "never", "a")
        await form(layer, "send_group", "g", {"n": 2})
        assert await self.numbers(form, readers[1], 1) == [2]
        await self.assert_quiet(form, readers[0])

    @conformance
    async def test_a_channel_that_a_reader_owns_is_a_member(self, form: Form) -> None:
        """Until its reader is gone."""
        layer = self.layer()
        reader = layer.reader(["view.A!"])
        await form(layer, "group_add", "g", "view.A!7")
        await form(layer, "send_group", "g", {"n": 1})
        delivery = await self.receive(form, reader)
        assert delivery.envelope.channel == "view.A!7"
        await form(reader, "commit", delivery)
        reader.close()
        await self.wait_until(lambda: layer.statistics().groups == 0)

    @conformance
    async def test_a_group_send_is_never_refused(self, form: Form) -> None:
        """A full member is passed over and counted; the others get theirs."""
        layer = self.layer(("full", ChannelRule(capacity=1)))
        owner = self.owner(layer)
        for channel in ("full", "s1!c1", "roomy"):
            await form(layer, "group_add", "g", channel)
        for value in range(3):
            await form(layer, "send_group", "g", {"n": value})
        await self.wait_until(lambda: layer.statistics().group_sends_dropped == 2)
        assert await self.numbers(form, layer.reader(["full"]), 1) == [0]
        assert await self.numbers(form, layer.reader(["roomy"]), 3) == [0, 1, 2]
        assert await self.frames(owner) == [0, 1, 2]

    @conformance
    async def test_a_group_send_to_nobody(self, form: Form) -> None:
        """An unknown group has no members, and sending to it is fine."""
        layer = self.layer()
        await form(layer, "send_group", "nobody", {"n": 1})
        assert await form(layer, "group_channels", "nobody") == []
        await self.wait_until(lambda: layer.statistics().groups == 0)

    @conformance
    async def test_an_owner_takes_its_memberships_along(self, form: Form) -> None:
        """When it is gone nothing is left of it; an add for a connection that is gone is dropped."""
        layer = self.layer()
        owner = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        await form(layer, "group_add", "g", "gone!c1")
        await self.wait_until(lambda: layer.statistics().groups == 1)
        owner.inbox.close()
        await self.wait_until(lambda: layer.statistics().groups == 0)
        await form(layer, "group_add", "g", "s1!c1")
        await form(layer, "send_group", "g", {"n": 1})
        assert await form(layer, "group_channels", "g") == []
        await self.wait_until(lambda: layer.statistics().groups == 0)
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_a_server_far_behind_delays_nobody(self, form: Form) -> None:
        """Group sends beyond the bound of an inbox are dropped and counted, and it goes on once it has read."""
        self.skip_if_items_are_pushed()
        layer = self.layer(inbox=20)
        owner = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        body = encode_message({"n": 1}).ljust(10)
        for _ in range(5):
            await form(layer, "publish", GroupSend("g", body))
        assert layer.statistics().group_sends_dropped == 3
        items = await owner.all_items()
        assert [type(item) for item in items] == [Add, GroupFrame, GroupFrame]
        await form(layer, "publish", GroupSend("g", body))
        await owner.wait_item(GroupFrame)

    @conformance
    async def test_a_server_far_behind_takes_no_new_members(self, form: Form) -> None:
        """Beyond the bound an add, a discard and a question are refused, since nobody could make sure of them."""
        self.skip_if_items_are_pushed()
        layer = self.layer(inbox=1)
        owner = self.owner(layer)
        await form(layer, "publish", Send("s1!c1", b"x"))
        await raised(LayerUnavailable, form, layer, "group_add", "g", "s1!c1")
        await raised(LayerUnavailable, form, layer, "group_discard", "g", "s1!c1")
        await raised(LayerUnavailable, form, layer, "state", "s1!c1")
        await owner.wait_items(1)
        await form(layer, "group_add", "g", "s1!c1")
        await owner.wait_item(Add)

    @conformance
    async def test_a_repeated_group_send_is_dropped(self, form: Form) -> None:
        """By its id, for every member at once."""
        layer = self.layer()
        owner = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        await form(layer, "group_add", "g", "a")
        for _ in range(2):
            await form(layer, "publish", GroupSend("g", encode_message({"n": 1}), id="x.1"))
        assert await self.frames(owner) == [1]
        reader = layer.reader(["a"])
        assert await self.numbers(form, reader, 1) == [1]
        await self.assert_quiet(form, reader)

    @conformance
    async def test_servers_are_told_that_a_process_is_gone(self, form: Form) -> None:
        """`owner_gone` reaches every owner when the reader of a prefix has died, and nothing stays of its channels."""
        layer = self.layer()
        owner, other = self.owner(layer, "s1!"), self.owner(layer, "s2!")
        reader = layer.reader(["view.A!", "view.B!", "numbers"])
        await form(layer, "send", "view.A!1", {"n": 1})
        self.kill(reader)
        for one in (owner, other):
            gone = [await one.wait_item(OwnerGone) for _ in range(2)]
            assert {item.prefix for item in gone} == {"view.A!", "view.B!"}
        await form(layer, "send", "view.A!1", {"n": 1})
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)
