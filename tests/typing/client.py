"""The Python client, as a script uses it."""

from typing import Any, assert_type

from fairway.client import Client, ClientLimits, Closing, Feed, Overflow, Push, Stream, Subscription, Try, connect


async def token() -> str:
    return "secret"


async def use(url: str) -> None:
    assert_type(connect(url), Client)
    async with connect(
        url, token=token, limits=ClientLimits(timeout=5), codes={4503: "later"}, headers={"Cookie": "a=b"}
    ) as client:
        assert_type(client, Client)
        assert_type(await client.request("todo.add", {"title": "Sail"}, timeout=2, idempotent=True), Any)
        assert_type(await client.ping(), float)
        assert_type(await client.subscribe({"type": "board", "id": 7}, overflow=Overflow.FAIL), Subscription)
        async with client.subscribe({"type": "board", "id": 7}) as changes:
            async for change in changes:
                assert_type(change, Push)
        assert_type(client.pushes(), Feed[Push])
        assert_type(client.messages(), Feed[dict[str, Any]])
        assert_type(client.stream("chat"), Stream)
        await client.stream("chat").send({"text": "Ahoy"})
        assert_type(client.statistics.queued, int)


def heed(client: Client) -> None:
    def closed(closing: Closing) -> None:
        assert_type(closing.status, int | None)

    def coming_back(next_try: Try) -> None:
        assert_type(next_try.delay, float)

    end = client.on("close", closed)
    client.once("reconnecting", coming_back)
    end()
    client.on("opne", closed)  # type: ignore[arg-type]
    connect("ws://a/", tokne="secret")  # type: ignore[call-arg]
