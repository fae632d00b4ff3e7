"""What a server is told, and that it needs no Django for any of it."""

import dataclasses
import subprocess
import sys

import pytest

from fairway.errors import UsageError
from fairway.limits import ServerLimits
from fairway.server import Access, ServerConfig


def test_the_defaults():
    config = ServerConfig()
    assert (config.binds, config.root_path, config.trusted_origins) == (("127.0.0.1:8000",), "", ())
    assert config.proxies == ()
    assert config.access_log is None
    assert config.limits == ServerLimits()


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ServerConfig().binds = ()
    access = Access(
        action="http", client="", method="GET", path="/", http_version="1.1", status=200, size=0, seconds=0.0
    )
    with pytest.raises(AttributeError):
        access.path = "/other"


def test_a_proxy_that_is_no_address_is_told_where_it_is_written():
    with pytest.raises(UsageError, match="proxies: 'localhost' is neither an address nor a network"):
        ServerConfig(proxies=["10.0.0.0/8", "localhost"])


def test_a_server_imports_no_django():
    code = "import fairway.server, sys; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_server_serves_without_django():
    """From the first connection to the stop, with the memory layer."""
    code = """
import asyncio, sys
from fairway.layers import MemoryLayer
from fairway.server import Server, ServerConfig, new_event_loop

async def main():
    layer = MemoryLayer()
    async with Server(ServerConfig(binds=["127.0.0.1:0"]), layer) as server:
        reader, writer = await asyncio.open_connection(*server.bound[0])
        writer.write(b"GET / HTTP/2.0\\r\\n\\r\\n")
        assert b" 505 " in await reader.readline()
        writer.close()
    layer.close()

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(main())
sys.exit("django" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
