"""Where a server listens, and every way in which it cannot."""

import asyncio
import errno
import grp
import os
import socket
import stat

import pytest

from fairway.errors import CannotListen
from fairway.server.binds import LONGEST_PATH, FdBind, TcpBind, UnixBind, _reason, listen, parse_bind

pytestmark = pytest.mark.usefixtures("loop_factory")


class Greeter(asyncio.Protocol):
    """Says hello and closes."""

    def connection_made(self, transport):
        transport.write(b"hello\n")
        transport.close()


async def greeting(reader, writer):
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return line


async def refusal(text):
    """The error for this bind."""
    with pytest.raises(CannotListen) as caught:
        await listen(Greeter, text)
    assert str(caught.value).startswith(f"cannot listen on {text.partition('?')[0]}")
    return caught.value


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8000", TcpBind("127.0.0.1", 8000)),
        ("localhost:0", TcpBind("localhost", 0)),
        (":80", TcpBind("", 80)),
        ("[::1]:65535", TcpBind("::1", 65535)),
        ("unix:/run/f.sock", UnixBind("/run/f.sock")),
        ("unix:f.sock?mode=0600&group=www", UnixBind("f.sock", 0o600, "www")),
        ("unix:/a:8000", UnixBind("/a:8000")),
        ("fd:0", FdBind(0)),
    ],
)
def test_every_kind_of_bind(text, bind):
    assert parse_bind(text) == bind


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8000", "write HOST:PORT"),
        ("localhost", "write HOST:PORT"),
        ("127.0.0.1:", "write HOST:PORT"),
        ("127.0.0.1:http", "write HOST:PORT"),
        ("127.0.0.1:65536", "write HOST:PORT"),
        ("127.0.0.1:-1", "write HOST:PORT"),
        ("fd:", "write HOST:PORT"),
        ("fd:x", "write HOST:PORT"),
        ("::1:8000", r"in brackets: \[::1\]:8000"),
        ("unix:", "no path"),
        ("unix:/a?mode=rw", r"no octal number; write \?mode=0660"),
        ("unix:/a?mode=01777", "takes .mode=0660"),
        ("unix:/a?colour=red", "takes .mode=0660"),
        ("unix:/" + "a" * LONGEST_PATH, rf"has {LONGEST_PATH + 1} bytes and may have {LONGEST_PATH - 4}"),
    ],
)
def test_a_bind_that_is_none_is_told_how_to_be_one(text, reason):
    with pytest.raises(CannotListen, match=reason):
        parse_bind(text)


async def test_tcp_and_a_port_of_the_systems_choice():
    listener = await listen(Greeter, "127.0.0.1:0")
    ((host, port),) = listener.addresses
    assert await greeting(*await asyncio.open_connection(host, port)) == b"hello\n"
    listener.close()
    assert listener.addresses == []


async def test_an_address_in_use_is_named_with_the_remedy():
    listener = await listen(Greeter, "127.0.0.1:0")
    host, port = listener.addresses[0]
    error = await refusal(f"{host}:{port}")
    assert error.errno == errno.EADDRINUSE
    assert str(error).endswith("address in use: another process listens there; stop it, or choose another --bind")
    listener.close()


async def test_addresses_that_are_not_ours():
    assert "none of this machine" in str(await refusal("203.0.113.1:8000"))
    assert "the host has no address" in str(await refusal("no-such-host.invalid:8000"))


async def test_a_folder_that_is_not_there(tmp_path):
    assert "its folder does not exist; make it" in str(await refusal(f"unix:{tmp_path}/none/f.sock"))


def test_privileges_that_are_missing_and_errors_without_a_number():
    assert "permission denied; ports below 1024" in _reason(PermissionError(errno.EACCES, "no"), TcpBind("", 80))
    assert _reason(OSError("odd"), TcpBind("", 80)) == "odd"


async def test_a_unix_socket_has_the_mode_that_it_is_given(tmp_path):
    path = tmp_path / "f.sock"
    for query, mode in (("", 0o660), ("?mode=0600", 0o600), (f"?group={grp.getgrgid(os.getegid()).gr_name}", 0o660)):
        listener = await listen(Greeter, f"unix:{path}{query}")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert listener.addresses == []
        assert await greeting(*await asyncio.open_unix_connection(str(path))) == b"hello\n"
        listener.close()
        assert list(tmp_path.iterdir()) == []


async def test_a_group_that_does_not_exist_leaves_nothing_behind(tmp_path):
    error = await refusal(f"unix:{tmp_path}/f.sock?group=no-such-group")
    assert "there is no group 'no-such-group'" in str(error)
    assert list(tmp_path.iterdir()) == []


async def test_a_dead_socket_is_replaced_and_leftovers_of_a_start_too(tmp_path):
    path = tmp_path / "f.sock"
    for name in ("f.sock", "f.sock.new"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / name))
    listener = await listen(Greeter, f"unix:{path}")
    assert await greeting(*await asyncio.open_unix_connection(str(path))) == b"hello\n"
    listener.close()


async def test_a_live_socket_is_refused_and_lives_on(tmp_path):
    path = tmp_path / "f.sock"
    first = await listen(Greeter, f"unix:{path}")
    error = await refusal(f"unix:{path}")
    assert (error.errno, "another process listens there" in str(error)) == (errno.EADDRINUSE, True)
    assert await greeting(*await asyncio.open_unix_connection(str(path))) == b"hello\n"
    first.close()


async def test_a_live_socket_that_is_busy_is_refused(tmp_path):
    path = str(tmp_path / "f.sock")
    with (
        socket.socket(socket.AF_UNIX) as busy,
        socket.socket(socket.AF_UNIX) as one,
        socket.socket(socket.AF_UNIX) as two,
    ):
        busy.bind(path)
        busy.listen(0)
        for client in (one, two):
            client.setblocking(False)
            client.connect_ex(path)
        assert "address in use" in str(await refusal(f"unix:{path}"))


async def test_a_file_that_is_no_socket_is_kept(tmp_path):
    path = tmp_path / "f.sock"
    path.write_text("precious")
    assert "something that is no socket lies there" in str(await refusal(f"unix:{path}"))
    assert path.read_text() == "precious"


async def test_the_file_of_a_successor_is_left_alone(tmp_path):
    path = tmp_path / "f.sock"
    first = await listen(Greeter, f"unix:{path}")
    path.unlink()
    second = await listen(Greeter, f"unix:{path}")
    first.close()
    assert await greeting(*await asyncio.open_unix_connection(str(path))) == b"hello\n"
    second.close()
    second.close()
    assert not path.exists()


async def test_an_inherited_tcp_socket_stays_its_owners():
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        listener = await listen(Greeter, f"fd:{inherited.fileno()}")
        assert await greeting(*await asyncio.open_connection(*inherited.getsockname())) == b"hello\n"
        listener.close()
        os.fstat(inherited.fileno())


async def test_an_inherited_unix_socket_stays_its_owners(tmp_path):
    path = tmp_path / "f.sock"
    with socket.socket(socket.AF_UNIX) as inherited:
        inherited.bind(str(path))
        listener = await listen(Greeter, f"fd:{inherited.fileno()}")
        assert await greeting(*await asyncio.open_unix_connection(str(path))) == b"hello\n"
        listener.close()
        assert path.exists()


async def test_descriptors_that_are_no_sockets(tmp_path):
    assert "no such descriptor is open" in str(await refusal("fd:9999"))
    with (tmp_path / "file").open("w") as file:
        assert "it is open, and no socket" in str(await refusal(f"fd:{file.fileno()}"))
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        assert "no stream socket" in str(await refusal(f"fd:{datagrams.fileno()}"))


async def test_a_connected_socket_is_none_to_listen_on():
    left, right = socket.socketpair()
    with left, right:
        assert "it is a connection" in str(await refusal(f"fd:{left.fileno()}"))
