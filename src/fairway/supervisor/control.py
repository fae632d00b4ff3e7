"""The control socket: how `fairway status` and `fairway reload` talk to what runs.

It is a Unix socket beside the hub's, for its owner alone. A request is one line of JSON, `{"command": "status"}`; the
answer is any number of lines `{"log": text}` for a person, and a last one with `ok`. All of it is bounded.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fairway.errors import LayerUnavailable
from fairway.layers.hub.address import default_path, parse_url
from fairway.layers.hub.doorway import make_runtime_folder

LINE_LIMIT = 1024 * 1024
"""Bytes of one line: a status names every process and every channel."""

CALLERS = 16
REQUEST_TIMEOUT = 5.0
"""Seconds in which a caller says what it wants."""

Say = Callable[[str], None]
Command = Callable[[Say], Awaitable[Mapping[str, Any]]]
"""Does what was asked. It may say lines for a person meanwhile, and returns what the last line holds."""


def control_path(layer: str | None = None) -> str:
    """Return where the control socket of a server is, by its layer's URL: beside the hub's; the project's own for None.

    Of a layer without a hub it is where the project's hub would be.

    Raises:
        InvalidLayerSetting: the URL cannot be used.
    """
    path = parse_url(layer).path if layer and layer.startswith("local://") else default_path()
    return f"{path}.ctl"


class ControlServer:
    """Answers on a control socket.

    Parameters:
        path: where.
        commands: name of a command -> what does it.
        alias: a second name for the socket, which is made as a link if nothing else has it.
    """

    def __init__(self, path: str, commands: Mapping[str, Command], alias: str = "") -> None:
        self.path = path
        self._alias = alias if alias != path else ""
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._callers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket that a dead process has left is replaced.

        Raises:
            LayerUnavailable: the socket cannot be made, or a living process answers at it.
        """
        if await _answers(self.path):
            msg = f"another process answers at {self.path}; stop it, or use another layer or path"
            raise LayerUnavailable(msg)
        make_runtime_folder(Path(self.path))
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)  # noqa: PTH108
            before = os.umask(0o177)
            try:
                listening.bind(self.path)
            finally:
                os.umask(before)
            self._server = await asyncio.start_unix_server(self._answer, sock=listening, limit=LINE_LIMIT)
        except OSError as error:
            listening.close()
            msg = f"the control socket {self.path} cannot be made: {error.strerror}; its folder must be writable"
            raise LayerUnavailable(msg) from error
        self._link()

    def _link(self) -> None:
        """Make the second name. It is a help, not a need: whoever lacks it names the layer."""
        if not self._alias:
            return
        alias = Path(self._alias)
        with contextlib.suppress(OSError, LayerUnavailable):
            make_runtime_folder(alias)
            if alias.is_symlink():
                alias.unlink()
            alias.symlink_to(self.path)

    def _unlink(self) -> None:
        for name in (self.path, self._alias):
            with contextlib.suppress(OSError):
                if name == self.path or os.readlink(name) == self.path:  # noqa: PTH115
                    os.unlink(name)  # noqa: PTH108

    async def stop(self) -> None:
        """Stop listening; what is being answered is dropped."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        self._unlink()
        for task in tuple(self._callers):
            task.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._callers) >= CALLERS:
            writer.close()
            return
        self._callers.add(task)
        try:
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._callers.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def put(line: Mapping[str, Any]) -> None:
            writer.write(json.dumps(line).encode() + b"\n")

        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                line = await reader.readline()
            command = self._commands[json.loads(line)["command"]]
        except (ValueError, KeyError, TypeError):
            put({"ok": False, "error": f"the commands here are: {', '.join(self._commands)}"})
        else:
            put(await command(lambda text: put({"log": text})))
        await writer.drain()


async def refuse_reload(say: Say) -> Mapping[str, Any]:
    """Answer `reload` for a server that runs alone."""
    del say
    remedy = "restart them where they run, such as `systemctl restart mysite-worker@1`"
    return {
        "ok": False,
        "error": f"`fairway serve` runs here, whose workers (`manage.py runworker`) are apart; {remedy}",
    }


async def _answers(path: str) -> bool:
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def aask(path: str, command: str) -> Mapping[str, Any]:
    """Ask for a command that answers at once; return the last line of its answer.

    Raises:
        OSError: nobody listens there, or the answer does not come in time (`TimeoutError`).
    """
    async with asyncio.timeout(REQUEST_TIMEOUT):
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
        try:
            writer.write(json.dumps({"command": command}).encode() + b"\n")
            *_, last = (await reader.read()).splitlines() or [b"{}"]
        finally:
            writer.close()
    answer: Mapping[str, Any] = json.loads(last)
    return answer


def ask(path: str, command: str, timeout: float | None) -> Iterator[Mapping[str, Any]]:
    """Ask what listens at a control socket; yield the lines of its answer as they come.

    Parameters:
        path: the socket.
        command: what to do.
        timeout: seconds to wait for each line; None: for ever.

    Raises:
        OSError: nobody listens there, or the line was cut or remained silent (`TimeoutError`).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(timeout)
        line.connect(path)
        line.sendall(json.dumps({"command": command}).encode() + b"\n")
        with line.makefile("rb") as answer:
            while True:
                text = answer.readline(LINE_LIMIT)
                if not text.endswith(b"\n"):
                    msg = f"the answer from {path} breaks off"
                    raise ConnectionError(msg)
                content = json.loads(text)
                yield content
                if "ok" in content:
                    return
