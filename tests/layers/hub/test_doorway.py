"""The hub's socket: one hub a path, nothing half done, and nobody else's file touched."""

import grp
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.hub.address import HubAddress, runtime_folder
from fairway.layers.hub.doorway import Doorway
from tests.support.processes import running_python

IS_ROOT = os.geteuid() == 0


def knock(path: Path) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.sock"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's runtime folder in a /tmp of this test's own."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return runtime_folder()


def address(path: Path, mode: int = 0o600, group: str | None = None) -> HubAddress:
    return HubAddress(path=str(path), mode=mode, group=group)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_it_comes_and_goes(path: Path) -> None:
    door = Doorway(address(path))
    assert knock(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path.parent) == ["hub.sock", "hub.sock.lock"]
    door.close()
    assert names(path.parent) == ["hub.sock.lock"]
    Doorway(address(path)).close()


def test_mode_and_group(path: Path) -> None:
    mine = grp.getgrgid(os.getgid()).gr_name
    door = Doorway(address(path, 0o660, mine))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert path.stat().st_gid == os.getgid()
    door.close()


def test_a_group_that_is_not_there(path: Path) -> None:
    with pytest.raises(InvalidLayerSetting, match="no group 'nobody-knows-it'"):
        Doorway(address(path, group="nobody-knows-it"))
    assert names(path.parent) == ["hub.sock.lock"]
    Doorway(address(path)).close()


def test_a_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert not knock(path)
    door = Doorway(address(path))
    assert knock(path)
    door.close()


def test_a_hub_that_was_killed_leaves_no_obstacle(path: Path) -> None:
    script = (
        "import sys, time; from fairway.layers.hub.address import HubAddress;"
        "from fairway.layers.hub.doorway import Doorway;"
        "door = Doorway(HubAddress(path=sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    with running_python("-c", script, path) as hub:
        hub.wait_for_output("open")
        with pytest.raises(LayerUnavailable, match=rf"another hub lives at {path} \(process {hub.pid}\)"):
            Doorway(address(path))
        assert knock(path)
        hub.process.send_signal(signal.SIGKILL)
        hub.process.wait()
    assert path.exists()
    Doorway(address(path)).close()


def test_of_several_that_start_at_once_one_lives(path: Path) -> None:
    script = (
        "import sys, os; from fairway.layers.hub.address import HubAddress;"
        "from fairway.layers.hub.doorway import Doorway; from fairway.errors import LayerUnavailable\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: door = Doorway(HubAddress(path=sys.argv[1])); print('open', flush=True)\n"
        "except LayerUnavailable as error: print(error, flush=True)\n"
        "sys.stdin.readline()"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    try:
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("\n")
            racer.stdin.flush()
        said = [racer.stdout.readline() for racer in racers if racer.stdout]
        assert said.count("open\n") == 1
        assert sum("another hub lives" in line for line in said) == 5
        assert knock(path)
    finally:
        for racer in racers:
            racer.communicate("\n")


def test_a_living_socket_without_its_lock_is_left_alone(path: Path) -> None:
    """Something that cleans up /tmp may have removed the lock's file."""
    door = Doorway(address(path))
    path.with_name("hub.sock.lock").unlink()
    with pytest.raises(LayerUnavailable, match="somebody accepts connections at"):
        Doorway(address(path))
    assert knock(path)
    door.close()


def test_a_socket_with_a_full_queue_is_alive(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(0)
        callers = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(str(path))
        with pytest.raises(LayerUnavailable, match="somebody accepts connections"):
            Doorway(address(path))
        for caller in callers:
            caller.close()


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(path: Path, what: str) -> None:
    if what == "file":
        path.write_text("precious")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.parent / "target")
    with pytest.raises(LayerUnavailable, match="is there and is no socket"):
        Doorway(address(path))
    assert names(path.parent) == ["hub.sock", "hub.sock.lock"]


def test_a_lock_that_is_a_link_is_not_followed(path: Path) -> None:
    precious = path.parent / "precious"
    precious.write_text("precious")
    path.with_name("hub.sock.lock").symlink_to(precious)
    with pytest.raises(LayerUnavailable, match="no hub can be opened at"):
        Doorway(address(path))
    assert precious.read_text() == "precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LayerUnavailable, match="No such file or directory; its folder must exist"):
        Doorway(address(tmp_path / "missing" / "hub.sock"))


def test_the_runtime_folder_is_made(home: Path) -> None:
    door = Doorway(address(home / "hub.sock"))
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    door.close()


@pytest.mark.parametrize("trick", ["open", "link", "file", "dangling"])
def test_a_runtime_folder_that_is_not_ours(home: Path, trick: str) -> None:
    elsewhere = home.parent / "elsewhere"
    if trick == "open":
        home.mkdir()
        home.chmod(0o777)
    elif trick == "link":
        elsewhere.mkdir(mode=0o700)
        home.symlink_to(elsewhere)
    elif trick == "dangling":
        home.symlink_to(elsewhere)
    else:
        home.touch()
    with pytest.raises(LayerUnavailable):
        Doorway(address(home / "hub.sock"))
    assert not elsewhere.exists() or names(elsewhere) == []


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a folder away")
def test_a_runtime_folder_of_another_user(home: Path) -> None:
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    with pytest.raises(LayerUnavailable, match="only you can write to"):
        Doorway(address(home / "hub.sock"))


def test_a_socket_whose_file_was_removed_is_made_again(path: Path) -> None:
    door = Doorway(address(path, 0o660))
    assert not door.renew()
    path.unlink()
    old = door.socket
    assert door.renew()
    old.close()
    assert knock(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    path.unlink()
    path.touch()
    with pytest.raises(LayerUnavailable, match="is not this hub's any more"):
        door.renew()
    door.close()
    assert path.exists(), "it is somebody else's"


def test_closing_spares_a_forked_process(path: Path) -> None:
    """A child that was forked has the lock open as well: the next hub must not wait for it."""
    door = Doorway(address(path))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    door.close()
    Doorway(address(path)).close()
    os.close(writing)
    os.waitpid(child, 0)


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount a tiny file system")
def test_a_full_disk(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=4", "none", tiny], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (tiny / "full").write_bytes(b"x" * 4096)
        door = Doorway(address(tiny / "hub.sock"))
        assert knock(tiny / "hub.sock"), "the number in the lock is a comfort, not a need"
        door.close()
        (tiny / "another").touch()
        with pytest.raises(LayerUnavailable, match="No space left on device"):
            Doorway(address(tiny / "hub.sock"))
    finally:
        subprocess.run(["umount", tiny], check=True)
