"""A worker and a server process that talk over one layer: everything that a conversation needs, once."""

import asyncio

from fairway.broker.effects import Add, Ask, Done, Envelope, Frame, GroupFrame, GroupSend, Item, SaveState, Send, State
from fairway.layers import LocalLayer
from tests.support.waiting import await_until


async def next_items(inbox: object, items: list[Item], count: int) -> list[Item]:
    """Wait until so many items have come; take them."""

    def come() -> bool:
        items.extend(inbox.drain())  # type: ignore[attr-defined]
        return len(items) >= count

    await await_until(come, f"{count} items, not {items}")
    taken = items[:count]
    del items[:count]
    return taken


async def converse(layer: LocalLayer, rounds: int = 20) -> None:
    """Let a server submit messages that a worker answers; groups, state and questions are part of it."""
    items: list[Item] = []
    inbox = layer.inbox(["s!"], lambda: None)
    reader = layer.reader(["talk"], window=4, threads=1)
    await layer.agroup_add("g", "s!1")
    assert isinstance((await next_items(inbox, items, 1))[0], Add)
    await await_until(lambda: inbox.has_reader("talk"))
    for order in range(rounds):
        inbox.submit(Envelope(f"m{order}", "talk", "s!1", order), b"question")
        delivery = await reader.areceive(5)
        assert delivery is not None
        assert (delivery.envelope.order, delivery.envelope.attempt, delivery.body) == (order, 1, b"question")
        outbox = [Send("s!1", b"answer"), GroupSend("g", b"all"), SaveState("s!1", {"k": b"v"})]
        await reader.acommit(delivery, outbox)
        frame, group, state, done = await next_items(inbox, items, 4)
        assert (frame, state, done) == (Frame("s!1", b"answer"), State("s!1", {"k": b"v"}), Done("s!1", order))
        assert isinstance(group, GroupFrame)
    asking = asyncio.create_task(layer.astate("s!1"))
    (ask,) = await next_items(inbox, items, 1)
    assert isinstance(ask, Ask)
    inbox.answer(ask.token, {"k": b"v"})
    assert await asking == {"k": b"v"}
    inbox.close()
    reader.close()
