"""The hub's listening socket: made in one step, owned by one hub, and gone with it.

A lock on `<path>.lock` says that a hub lives: the kernel lets it go with the process, however that ends. So a socket
that a dead hub has left behind is replaced, and one of a living hub never is. The socket is bound under a temporary
name, gets its owner and mode, and only then its real name: nobody ever meets one that is half done.
"""

import contextlib
import fcntl
import grp
import os
import socket
import stat
from pathlib import Path

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.hub.address import HubAddress, runtime_folder

BACKLOG = 512


class Doorway:
    """A listening Unix socket, and the lock that makes it the only one at its path.

    Raises:
        LayerUnavailable: another hub lives at this path, or the socket cannot be made there.
        InvalidLayerSetting: the group is unknown, or may not be given.
    """

    def __init__(self, address: HubAddress) -> None:
        self.path = Path(address.path)
        _make_runtime_folder(self.path.parent)
        self._lock = _lock(self.path)
        try:
            self.socket = _listen(address)
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Stop listening, and take the socket's name away, if it is still ours."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        self.socket.close()
        os.close(self._lock)


def _make_runtime_folder(folder: Path) -> None:
    """Make the user's own runtime folder; in a shared place such as /tmp, trust only one that is really ours."""
    if folder != runtime_folder():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        msg = f"{folder} must be a folder that only you can write to; remove it, or name another path for the hub"
        raise LayerUnavailable(msg)


def _lock(path: Path) -> int:
    name = f"{path}.lock"
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        msg = f"no hub can be opened at {path}: {error.strerror}; its folder must exist and be writable"
        raise LayerUnavailable(msg) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        msg = f"another hub lives at {path} (process {owner}); stop it, or choose another path for this one"
        raise LayerUnavailable(msg) from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
    return lock


def _listen(address: HubAddress) -> socket.socket:
    path, fresh = Path(address.path), f"{address.path}.{os.getpid():x}"
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            msg = f"{path} is there and is no socket; remove it, or choose another path for the hub"
            raise LayerUnavailable(msg)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)  # noqa: FBT003
        _bind(listening, fresh)
        try:
            if address.group:
                os.chown(fresh, -1, _group(address.group))
            os.chmod(fresh, address.mode)  # noqa: PTH101  a socket by its plain name
            listening.listen(BACKLOG)
            os.rename(fresh, path)  # noqa: PTH104
        except BaseException:
            os.unlink(fresh)  # noqa: PTH108
            raise
    except PermissionError as error:
        listening.close()
        msg = f"the hub's socket {path} cannot be given to group {address.group!r}: {error.strerror}"
        raise InvalidLayerSetting(msg) from error
    except BaseException:
        listening.close()
        raise
    return listening


def _bind(listening: socket.socket, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)  # noqa: PTH108  of a process with our number, long ago
    before = os.umask(0o177)
    try:
        listening.bind(name)
    finally:
        os.umask(before)


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        msg = f"there is no group {name!r} to give the hub's socket to"
        raise InvalidLayerSetting(msg) from None
