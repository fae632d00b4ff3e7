"""A layer works wherever its Redis is: by TCP, a Unix socket, TLS, as a user with few rights, with many shards."""

import asyncio
import os

import pytest

from fairway.broker.effects import Add, Done, Envelope, Frame, GroupFrame, GroupSend, Send
from fairway.errors import LayerUnavailable, MessageTooLarge
from fairway.layers.codec import encode_message
from fairway.layers.redis.layer import RedisLayer
from fairway.limits import MIB, MessageLimits
from fairway.testing.layer_conformance.base import Owner, number
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster


async def exchange(url: str) -> None:
    """An application message, a message of a connection with its answer, and a group."""
    layer = RedisLayer(url)
    try:
        owner = Owner(layer, ["s1!"], 10)
        reader = layer.reader(["numbers", "others", "websocket.receive"])
        for channel in ("numbers", "others"):
            await layer.apublish(number(1, channel))
            delivery = await reader.areceive(10)
            assert delivery is not None
            await reader.acommit(delivery, [Send("s1!c1", b"told")])
        await layer.agroup_add("room", "s1!c1")
        await layer.agroup_add("another room", "s1!c1")
        owner.inbox.submit(Envelope("s1!.0", "websocket.receive", "s1!c1", 0), encode_message({}))
        delivery = await reader.areceive(10)
        assert delivery is not None
        await reader.acommit(
            delivery, [Send("s1!c1", b"echo"), GroupSend("room", b"all"), GroupSend("another room", b"")]
        )
        items = await owner.wait_items(8)
        assert [item for item in items if not isinstance(item, Add | GroupFrame)] == [
            Frame("s1!c1", b"told"),
            Frame("s1!c1", b"told"),
            Frame("s1!c1", b"echo"),
            Done("s1!c1", 0),
        ]
        assert {item.group for item in items if isinstance(item, GroupFrame)} == {"room", "another room"}
    finally:
        await asyncio.to_thread(layer.close)


def test_tcp(shared_redis: RedisServer) -> None:
    asyncio.run(exchange(shared_redis.url))


def test_a_unix_socket(shared_redis: RedisServer) -> None:
    asyncio.run(exchange(shared_redis.unix_url))


def test_tls(tls_redis: RedisServer) -> None:
    asyncio.run(exchange(tls_redis.url))


def test_a_user_with_few_rights(shared_redis: RedisServer) -> None:
    shared_redis.add_user("mysite", "secret", "mysite")
    url = shared_redis.url.replace("//", "//mysite:secret@")
    asyncio.run(exchange(f"{url}?prefix=mysite"))
    with pytest.raises(LayerUnavailable, match="NOPERM") as caught:
        asyncio.run(exchange(f"{url}?prefix=theirs"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("shards", [2, 16])
def test_many_shards_for_application_channels_and_groups(shared_redis: RedisServer, shards: int) -> None:
    asyncio.run(exchange(f"{shared_redis.url}?shards={shards}"))


def test_many_shards_on_many_masters(shared_redis_cluster: RedisCluster) -> None:
    asyncio.run(exchange(f"{shared_redis_cluster.url}?shards=16"))


def test_a_message_may_be_as_large_as_the_limit(shared_redis: RedisServer) -> None:
    layer = RedisLayer(shared_redis.url, message_limits=MessageLimits(body=11 * MIB))
    try:
        reader = layer.reader(["files"])
        body = os.urandom(10 * MIB)
        layer.send("files", {"body": body})
        delivery = reader.receive(20)
        assert delivery is not None
        assert delivery.body == encode_message({"body": body}, layer.message_limits)
        reader.commit(delivery)
        with pytest.raises(MessageTooLarge):
            layer.send("files", {"body": bytes(11 * MIB)})
    finally:
        layer.close()
