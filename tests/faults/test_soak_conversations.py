"""The long count: conversations over real sockets while readers die at random, and every message is counted.

A reader that dies holds a message and has perhaps sent half of what it meant to. The count at the end is exact: each
message took effect once, in order on its socket; what ran twice said so by its attempt; and nothing is left behind.
"""

import asyncio
import random
import threading
from collections import Counter

import pytest
from websockets.asyncio.client import ClientConnection, connect

from fairway.broker.effects import GroupSend, Send
from fairway.errors import DeliveryLost
from fairway.layers.base import Reader
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.memory import MemoryLayer
from fairway.server import Server, ServerConfig

SOCKETS = 50
ROUNDS = 2000
THREADS = 4
DEATHS = 0.02
CHANNELS = ["websocket.connect", "websocket.receive", "websocket.disconnect"]


class MortalWorker:
    """Threads that answer, and now and then die in the middle of a message: before its commit, or too late for it."""

    def __init__(self, layer: MemoryLayer, seed: int) -> None:
        self.layer = layer
        self.random = random.Random(seed)
        self.runs: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self.deaths = 0
        self.repeated = 0
        self.stopping = False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.live) for _ in range(THREADS)]

    def live(self) -> None:
        """Be born again after each death, until the end."""
        while not self.stopping:
            reader = self.layer.reader(CHANNELS)
            while (delivery := reader.receive(0.2)) is not None or not self.stopping:
                if delivery is None:
                    continue
                message = decode_message(delivery.body)
                with self.lock:
                    self.runs[delivery.envelope.id] += 1
                    self.repeated += delivery.envelope.attempt > 1
                    assert delivery.envelope.attempt == self.runs[delivery.envelope.id]
                    dies = self.random.random() < DEATHS and delivery.envelope.attempt < 4
                if dies:
                    self.die(reader, delivery)
                    break
                reader.commit(delivery, self.answer(delivery.envelope.channel, message))
                with self.lock:
                    self.commits[delivery.envelope.id] += 1
            else:
                reader.close()

    def die(self, reader: Reader, delivery: object) -> None:
        """Close the session under the message; a commit that comes too late publishes nothing."""
        with self.lock:
            self.deaths += 1
        reader.close()
        with pytest.raises(DeliveryLost):
            reader.commit(delivery, [Send("nobody", b"half an outbox")])  # type: ignore[arg-type]

    def answer(self, channel: str, message: dict[str, object]) -> list[Send | GroupSend]:
        """Accept a socket, or send its number back, and the same to the room."""
        reply = str(message["reply_channel"])
        if channel == "websocket.connect":
            self.layer.group_add("room", reply)
            return [Send(reply, encode_message({"accept": True}))]
        if channel == "websocket.receive":
            text = encode_message({"text": message["text"]})
            return [Send(reply, text), GroupSend("elsewhere", text)]
        return []


async def converse(address: str, rounds: int) -> None:
    """Say a number, hear it, and say the next; now and then several at once."""
    async with connect(address, compression=None) as socket:
        said = 0
        while said < rounds:
            burst = random.Random(said).choice([1, 1, 1, 5])
            for number in range(said, said + burst):
                await socket.send(str(number))
            for number in range(said, said + burst):
                assert await hear(socket) == str(number)
            said += burst


async def hear(socket: ClientConnection) -> str | bytes:
    """Wait for a frame, not for ever."""
    async with asyncio.timeout(30):
        return await socket.recv()


@pytest.mark.soak
@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_every_message_takes_effect_once_while_readers_die(soak: int) -> None:
    """Fifty conversations, thousands of messages, and a death every fifty of them."""
    layer = MemoryLayer()
    worker = MortalWorker(layer, seed=7)
    for thread in worker.threads:
        thread.start()
    try:
        async with Server(ServerConfig(binds=["127.0.0.1:0"]), layer) as server:
            address = f"ws://127.0.0.1:{server.bound[0][1]}/"
            await asyncio.gather(*(converse(address, ROUNDS * soak) for _ in range(SOCKETS)))
    finally:
        worker.stopping = True
        for thread in worker.threads:
            await asyncio.to_thread(thread.join)
    statistics = layer.statistics()
    layer.close()
    print(f"\n{len(worker.commits):,} messages, {worker.deaths:,} deaths, {worker.repeated:,} runs repeated")
    assert worker.deaths > 10
    assert set(worker.commits.values()) == {1}
    assert set(worker.commits) == set(worker.runs)
    assert (statistics.held_bytes, statistics.groups, statistics.owners, statistics.dead_letters) == (0, 0, 0, 0)
