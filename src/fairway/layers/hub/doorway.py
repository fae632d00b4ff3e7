"""The hub's listening socket: made in one step, owned by one hub, and gone with it.

A lock on `<path>.lock` says that a hub lives: the kernel lets it go with the process, however that ends. So a socket
that a dead hub has left behind is replaced, and one of a living hub never is. Should somebody have removed the lock's
file, whether anybody accepts connections at the socket is asked as well. The socket is bound under a temporary name,
gets its owner and mode, begins to listen, and only then gets its real name: nobody ever meets one that is half done.
"""

import contextlib
import fcntl
import grp
import os
import socket
import stat
from pathlib import Path

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.hub.address import HubAddress, check_folder, runtime_folder

BACKLOG = 512


class Doorway:
    """A listening Unix socket, and the lock that makes it the only one at its path.

    Raises:
        LayerUnavailable: another hub lives at this path, or the socket cannot be made there.
        InvalidLayerSetting: the group is unknown, or may not be given.
    """

    def __init__(self, address: HubAddress) -> None:
        self.path = Path(address.path)
        self._address = address
        make_runtime_folder(self.path)
        self._lock = _lock(self.path)
        try:
            self.socket, self._identity = _listen(address)
        except BaseException:
            os.close(self._lock)
            raise

    def renew(self) -> bool:
        """Make the socket again if its name is gone; return whether it was. The old `socket` is the caller's to close.

        Raises:
            LayerUnavailable, InvalidLayerSetting: it is gone, or another's is there, and it cannot be made again.
        """
        found = _identity(self.path)
        if found == self._identity:
            return False
        if found:
            msg = f"{self.path} is not this hub's any more: somebody has put something else there"
            raise LayerUnavailable(msg)
        make_runtime_folder(self.path)
        self.socket, self._identity = _listen(self._address)
        return True

    def close(self) -> None:
        """Stop listening, and take the socket's name away, if it is still ours."""
        with contextlib.suppress(OSError):
            if _identity(self.path) == self._identity:
                self.path.unlink(missing_ok=True)
        self.socket.close()
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # a forked process may have it open still
        os.close(self._lock)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others, or None when there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def make_runtime_folder(path: Path) -> None:
    """Make the user's own runtime folder, if the socket belongs there."""
    if path.parent == runtime_folder():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _no_hub(path, error) from error
    check_folder(str(path))


def _no_hub(path: Path, error: OSError) -> LayerUnavailable:
    return LayerUnavailable(
        f"no hub can be opened at {path}: {error.strerror}; its folder must exist, be writable, and have room"
    )


def _lock(path: Path) -> int:
    name = f"{path}.lock"
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _no_hub(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        msg = f"another hub lives at {path} (process {owner}); stop it, or choose another path for this one"
        raise LayerUnavailable(msg) from None
    except OSError as error:
        os.close(lock)
        raise _no_hub(path, error) from error
    with contextlib.suppress(OSError):  # a full disk: the number is only there for the message above
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
    return lock


def _listen(address: HubAddress) -> tuple[socket.socket, tuple[int, int] | None]:
    path, fresh = Path(address.path), Path(f"{address.path}.{os.getpid():x}")
    group = _group(address.group) if address.group else -1
    _check_vacant(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)  # noqa: FBT003
        fresh.unlink(missing_ok=True)  # of a process with our number, long ago
        listening.bind(str(fresh))
        try:
            _give(fresh, address, group)
            listening.listen(BACKLOG)  # up to here nobody can connect, whatever the mode was
            identity = _identity(fresh)
            fresh.rename(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        listening.close()
        raise _no_hub(path, error) from error
    except BaseException:
        listening.close()
        raise
    return listening, identity


def _give(path: Path, address: HubAddress, group: int) -> None:
    try:
        if group >= 0:
            os.chown(path, -1, group)
        path.chmod(address.mode)
    except PermissionError as error:
        remedy = "the user that runs this must be a member of it"
        msg = f"the hub's socket {address.path} cannot be given to group {address.group!r} ({error.strerror}); {remedy}"
        raise InvalidLayerSetting(msg) from error


def _check_vacant(path: Path) -> None:
    """See that there is nothing at the path but what a dead hub has left there."""
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        msg = f"{path} is there and is no socket; remove it, or choose another path for the hub"
        raise LayerUnavailable(msg)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003
        try:
            probe.connect(str(path))
        except BlockingIOError:
            pass  # somebody listens, and has much to do
        except OSError:
            return
    msg = f"somebody accepts connections at {path} already; stop that, or choose another path for this hub"
    raise LayerUnavailable(msg)


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        msg = f"there is no group {name!r} to give the hub's socket to; name another one"
        raise InvalidLayerSetting(msg) from None
