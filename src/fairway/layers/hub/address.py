"""Where a hub is found: the path of its Unix socket, and who may open it.

The URL is `local:///path/to.sock?mode=0660&group=www-data`; with `upstream=` and the URL of another layer, which joins
this hub with those of other hosts (an `&` in it is written `%26`).

Without a path each project has one of its own, which needs no root: `<folder>-<8 hex digits>.sock` in the user's
runtime folder, after the folder that holds `manage.py`.
"""

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from fairway.errors import InvalidLayerSetting, LayerUnavailable

LONGEST_PATH = 103 if sys.platform == "darwin" else 107
"""Bytes of a path that fit into `sockaddr_un`."""

SUFFIX_ROOM = 12
"""What a path must leave for the names of the files beside it."""

DEFAULT_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAddress:
    """A hub's socket. `mode`, `group` and `upstream` matter to whoever makes it.

    Raises:
        InvalidLayerSetting: the path is relative, or too long for a Unix socket.
    """

    path: str
    mode: int = DEFAULT_MODE
    group: str | None = None
    upstream: str | None = None
    """The URL of the layer that joins this hub with others."""

    def __post_init__(self) -> None:
        if not os.path.isabs(self.path):  # noqa: PTH117  no Path in what every client imports and makes
            msg = f"the hub's socket {self.path!r} must be an absolute path, such as /run/mysite/fairway.sock"
            raise InvalidLayerSetting(msg)
        size, most = len(os.fsencode(self.path)), LONGEST_PATH - SUFFIX_ROOM
        if size > most:
            msg = f"the path of the hub's socket has {size} bytes, and {most} fit: {self.path!r}; choose a shorter one"
            raise InvalidLayerSetting(msg)
        if "\0" in self.path:
            msg = f"the path of the hub's socket holds a null byte: {self.path!r}"
            raise InvalidLayerSetting(msg)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path

    @property
    def url(self) -> str:
        """The URL of this address."""
        options = [f"mode={self.mode:04o}"] if self.mode != DEFAULT_MODE else []
        if self.group:
            options.append(f"group={quote(self.group)}")
        if self.upstream:
            options.append(f"upstream={quote(self.upstream, safe=':/?=@,[]*')}")
        return f"local://{quote(os.fsencode(self.path))}" + (f"?{'&'.join(options)}" if options else "")


def make_address(
    path: str = "", mode: int | str = DEFAULT_MODE, group: str | None = None, upstream: str | None = None
) -> HubAddress:
    """Return an address from settings; an empty path is the project's default.

    Raises:
        InvalidLayerSetting: one of them cannot be used.
    """
    path = os.fspath(path) or default_path()
    return HubAddress(path=path, mode=_mode(mode), group=group or None, upstream=upstream or None)


def parse_url(url: str) -> HubAddress:
    """Return the address that a `local://` URL names.

    Raises:
        InvalidLayerSetting: the URL cannot be used; the text says why.
    """
    options = parse_options(url)
    mode = options.get("mode", DEFAULT_MODE)
    return make_address(options["path"], mode, options.get("group"), options.get("upstream"))


def parse_options(url: str) -> Mapping[str, str]:
    """Return `path`, `mode`, `group` and `upstream` as far as a `local://` URL gives them, unchecked.

    Raises:
        InvalidLayerSetting: it has other parts.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        msg = f"{url!r} is no URL: {error}"
        raise InvalidLayerSetting(msg) from error
    if parts.scheme != "local" or parts.netloc or parts.fragment:
        msg = f"{url!r} is no URL of a hub: local:///absolute/path.sock, or local:// for the project's own"
        raise InvalidLayerSetting(msg)
    options = {"path": unquote(parts.path, errors="surrogateescape")}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in ("mode", "group", "upstream"):
            known = "mode (0660), group (www-data) and upstream (redis://host; an & in it is written %26)"
            msg = f"{key!r} in {url!r} is no option of a hub; there are {known}"
            raise InvalidLayerSetting(msg)
        options[key] = value
    return options


def default_path() -> str:
    """Return the path of this project's hub: the same for every process that is started in its folder or below."""
    project = project_folder()
    digest = hashlib.sha256(os.fsencode(str(project))).hexdigest()[:8]
    name = "".join(char if char.isalnum() and char.isascii() else "-" for char in project.name)[:24] or "project"
    return str(runtime_folder() / f"{name}-{digest}.sock")


def project_folder() -> Path:
    """Return the folder with `manage.py`: the working directory or one above it; without one, the working directory."""
    here = Path.cwd().resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "manage.py").is_file()), here)


def runtime_folder() -> Path:
    """Return the user's own folder for sockets; it may have to be made (see `doorway`), and may be another's."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and Path(given).is_dir():
        return Path(given) / "fairway"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"fairway-{user}"


def check_folder(path: str) -> None:
    """See that a socket in the user's runtime folder is in one that is really theirs.

    That folder may lie in a shared place such as /tmp, where anybody can have put a folder, a link, or a hub of their
    own under its name. A path that was chosen is trusted.

    Raises:
        LayerUnavailable: the folder is another's, or others may write to it.
    """
    folder = runtime_folder()
    if os.path.dirname(path) != str(folder):  # noqa: PTH120
        return
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        msg = f"{folder} must be a folder that only you can write to; remove it, or name another path for the hub"
        raise LayerUnavailable(msg)


def _mode(mode: int | str) -> int:
    try:
        number = mode if isinstance(mode, int) else int(mode, 8)
    except (TypeError, ValueError):
        number = -1
    if not 0o600 <= number <= 0o777 or number & 0o600 != 0o600:
        shown = f"0{mode:o}" if isinstance(mode, int) and mode >= 0 else repr(mode)
        msg = f"mode {shown} cannot be used for the hub's socket; an octal number such as 0600 or 0660"
        raise InvalidLayerSetting(msg)
    return number
