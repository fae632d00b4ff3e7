"""`fairway status` and `fairway reload`: what runs is asked at its control socket, and the answer shown."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fairway.limits import UNLIMITED
from fairway.supervisor.control import ask, control_path

OK = 0
FAILED = 1
NOT_RUNNING = 3
"""As systemctl has it."""

STATUS_TIMEOUT = 10.0


def run_status(layer: str | None, *, as_json: bool) -> int:
    """Show what runs; return the exit code: 0 all is well, 1 something is not ready, 3 nothing runs.

    Raises:
        InvalidLayerSetting: the URL of the layer cannot be used.
    """
    path = control_path(layer)
    try:
        *_, status = ask(path, "status", STATUS_TIMEOUT)
    except (FileNotFoundError, ConnectionRefusedError):
        return _nothing_runs(path, as_json=as_json)
    except OSError as error:
        return _no_answer(path, error)
    _print(json.dumps(status, indent=2) if as_json else render(status))
    return OK if status.get("ready") else FAILED


def run_reload(layer: str | None, timeout: float) -> int:
    """Deploy; return the exit code: 0 the new code runs, 1 it does not start, 3 nothing runs.

    Raises:
        InvalidLayerSetting: the URL of the layer cannot be used.
    """
    path = control_path(layer)
    result: Mapping[str, Any] = {}
    try:
        for line in ask(path, "reload", None if timeout == UNLIMITED else timeout):
            result = line
            if "log" in line:
                _print(line["log"])
    except (FileNotFoundError, ConnectionRefusedError):
        return _nothing_runs(path, as_json=False)
    except OSError as error:
        return _no_answer(path, error)
    if result.get("ok"):
        return OK
    _complain(f"fairway reload: {result.get('error')}")
    return FAILED


def _nothing_runs(path: str, *, as_json: bool) -> int:
    if as_json:
        _print(json.dumps({"ok": False, "error": "nothing runs", "path": path}))
    else:
        _complain(f"nothing runs here (nobody answers at {path}); start `fairway up`, or name another --layer")
    return NOT_RUNNING


def _no_answer(path: str, error: OSError) -> int:
    remedy = "; run this as the user that runs the server" if isinstance(error, PermissionError) else ""
    _complain(f"no answer from {path}: {error.strerror or str(error) or type(error).__name__}{remedy}")
    return FAILED


# --- the table -------------------------------------------------------------------------------------------------------


def render(status: Mapping[str, Any]) -> str:
    """Return a status as a text for a person."""
    state = "ready" if status["ready"] else "NOT READY"
    who = f"fairway {status['program']} {status['version']}, process {status['pid']}"
    lines = [f"{who}, up {format_time(status['uptime'])}: {state}", f"layer    {status['layer']}"]
    server = status["server"]
    if server:
        connections = ", ".join(f"{count} {kind}" for kind, count in server.get("connections", {}).items())
        lines.append(f"open     {connections}")
    if "hub" in server:
        hub = server["hub"]
        places = ", ".join(hub["listening"])
        lines.append(f"hub      open to other hosts at {places}; {hub['lines']} lines, {hub['refused']} refused")
    if "layer" in server:
        lines += _layer_lines(server["layer"])
        if not server["layer"].get("sessions", 1):
            lines.append("workers  none is connected; start `manage.py runworker`")
    head = ("name", "process", "state", "restarts", "up", "connections", "doing")
    processes = (*status["processes"], *status.get("workers", ()), *status.get("delay_servers", ()))
    rows = [head, *map(_row, processes)]
    return "\n".join([*lines, "", *_columns(rows)])


def _layer_lines(layer: Mapping[str, Any]) -> list[str]:
    waiting = ", ".join(f"{count} in {name}" for name, count in layer["waiting"].items() if count) or "nothing"
    lines = [f"messages {layer['delivered']} delivered, {layer['committed']} done; waiting: {waiting}"]
    if layer["dead_letters"]:
        lines.append(f"dead     {layer['dead_letters']} letters; see `manage.py deadletters`")
    if upstream := layer.get("upstream"):
        state = "there" if upstream["up"] else "AWAY"
        lines.append(f"upstream {state}; {upstream['forwarded']} forwarded, {upstream['dropped']} dropped")
    return lines


def _row(process: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        process["name"],
        str(process["pid"] or "-"),
        process["state"],
        str(process["restarts"]),
        format_time(process["uptime"]),
        str(process.get("connections", "")),
        process["status"],
    )


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def format_time(seconds: float) -> str:
    """Return a time in its two largest units: `3d 4h`, `5m 12s`, `7s`."""
    left = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
