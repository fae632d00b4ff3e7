"""How a line to the hub begins: nobody there, somebody who may not, a hub that says no, and what is none."""

import errno
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from fairway.broker.effects import Send
from fairway.errors import LayerUnavailable
from fairway.layers import LocalLayer
from fairway.layers.hub.greeting import HubRefuses, check_welcome, dial, hello
from fairway.wire.hub import MAGIC, VERSIONS, Frame, Hello, Ping, Refusal, Welcome
from tests.support.hubs import HubThread
from tests.support.processes import running_python


async def test_no_hub_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    layer = LocalLayer(str(path), wait=0.05)
    message = f"no hub answers at {path} .No such file or directory.; start `fairway serve`"
    with pytest.raises(LayerUnavailable, match=message):
        layer.publish(Send("c", b"x"))
    with pytest.raises(LayerUnavailable, match=message):
        await layer.apublish(Send("c", b"x"))
    with pytest.raises(LayerUnavailable, match=message):
        layer.reader(["c"])
    layer.close()
    with pytest.raises(LayerUnavailable, match="the layer is closed"):
        layer.publish(Send("c", b"x"))


def test_a_socket_that_is_left_over_is_no_hub(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(LayerUnavailable, match=f"no hub answers at {path} .Connection refused.; start"):
        dial(str(path))


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "hub.sock")
    with ExitStack() as stack:
        hub = stack.enter_context(socket.socket(socket.AF_UNIX))
        hub.bind(path)
        hub.listen(0)
        error = 0
        while error != errno.EAGAIN:
            other = stack.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            error = other.connect_ex(path)
        dialled = stack.enter_context(ThreadPoolExecutor()).submit(dial, path)
        with pytest.raises(TimeoutError):
            dialled.result(0.1)
        stack.enter_context(hub.accept()[0])
        stack.enter_context(dialled.result(10))


def test_a_socket_of_another_user(tmp_path: Path) -> None:
    script = (
        "import os, sys; from fairway.layers.hub.greeting import dial\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: dial(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error, flush=True)\n"
        "os._exit(0)  # what coverage has seen it could not write as that user\n"
    )
    with HubThread(tmp_path / "hub.sock") as hub:
        Path(hub.path).chmod(0)
        with running_python("-c", script, hub.path) as program:
            assert program.process.wait(60) == 0
            said = program.output()
    assert said == (
        f"LayerUnavailable the hub at {hub.path} is not open to this user (Permission denied); run as the user of "
        "`fairway serve`, or share the socket with a group (?mode=0660&group=NAME)\n"
    )


def test_a_hello_names_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/srv/shop/manage.py", "runworker"])
    assert hello() == Hello(MAGIC, *VERSIONS, f"manage.py[{os.getpid()}]")
    assert hello((1, 1)) == Hello(MAGIC, 1, 1, f"manage.py[{os.getpid()}]")
    for arguments in ([], [""]):
        monkeypatch.setattr(sys, "argv", arguments)
        assert hello().name == f"python[{os.getpid()}]"


def test_a_welcome_is_taken_as_it_is() -> None:
    welcome = Welcome(2, "epoch")
    assert check_welcome(welcome, "/hub.sock") is welcome


@pytest.mark.parametrize(
    ("frame", "reason"),
    [(Refusal("it is full"), "it is full"), (Ping(), "it said Ping")],
    ids=["refusal", "no welcome"],
)
def test_whatever_else_comes_first_is_a_refusal(frame: Frame, reason: str) -> None:
    with pytest.raises(HubRefuses, match=f"the hub at /hub.sock refuses this client: {reason}"):
        check_welcome(frame, "/hub.sock")
