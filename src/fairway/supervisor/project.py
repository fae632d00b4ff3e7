"""The Django project beside a supervisor that knows no Django: where its `manage.py` is, and which layer it names."""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from fairway.errors import InvalidLayerSetting, StartFailed, UsageError
from fairway.layers.hub.address import parse_url

ASK_TIMEOUT = 60.0
"""Seconds for `manage.py` to tell its layer: it loads the whole project."""

LAST_LINES = 30


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a project tells about itself.

    `layer` is the URL of the layer that its workers read; `has_delay` says whether it has `fairway.delay`.
    """

    layer: str
    has_delay: bool


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project.

    Parameters:
        manage: its `manage.py`.
        environ: what its processes get beside our own environment.
    """

    manage: Path
    environ: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a management command."""
        return [sys.executable, str(self.manage), *arguments]

    def ask(self) -> Answer:
        """Ask the project, as its code is at this moment. It takes as long as loading it does.

        Raises:
            StartFailed: the project does not load; with its last lines.
            InvalidLayerSetting: its layer cannot be used here.
        """
        name = "manage.py runworker --print-layer"
        try:
            done = subprocess.run(  # noqa: S603  our own command
                self.command("runworker", "--print-layer"),
                env={**_environ(), **self.environ},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ASK_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StartFailed(name, f"gave no answer within {ASK_TIMEOUT:g} s") from None
        if done.returncode:
            lines = done.stderr.splitlines()[-LAST_LINES:]
            raise StartFailed(name, f"failed (exit code {done.returncode})", lines)
        try:
            told = json.loads(done.stdout.splitlines()[-1])
            alias, backend, url = told["alias"], told["backend"], told["url"]
            # A project whose Fairway is older does not know the key.
            has_delay = told.get("delay") is True
        except (ValueError, LookupError, TypeError):
            raise StartFailed(name, "told no layer", done.stdout.splitlines()[-LAST_LINES:]) from None
        if not url or url.startswith("memory://"):
            msg = (
                f"CHANNEL_LAYERS['{alias}'] is {backend}, which other processes cannot reach; "
                "set its 'BACKEND' to 'fairway.layers.LocalLayer'"
            )
            raise InvalidLayerSetting(msg)
        return Answer(layer=str(url), has_delay=has_delay)


def find_project(given: argparse.Namespace) -> Project:
    """Return the project that the options name, else the one in the working directory or above it.

    Raises:
        UsageError: there is none.
    """
    environ = {"DJANGO_SETTINGS_MODULE": given.settings} if given.settings else {}
    if given.manage:
        manage = Path(given.manage).resolve()
        if not manage.is_file():
            msg = f"--manage {given.manage}: there is no such file; name the project's manage.py"
            raise UsageError(msg)
        return Project(manage=manage, environ=environ)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "manage.py").is_file():
            return Project(manage=folder / "manage.py", environ=environ)
    msg = f"there is no manage.py in {here} or above it; change to the project's folder, or name the file with --manage"
    raise UsageError(msg)


def check_same_layer(server: str, project: str) -> None:
    """Check that server and project mean the same layer.

    Raises:
        InvalidLayerSetting: they do not.
    """
    local = (server.startswith("local://"), project.startswith("local://"))
    same = parse_url(server).path == parse_url(project).path if all(local) else server == project
    if not same:
        msg = (
            f"--layer is {server}, and the project's CHANNEL_LAYERS name {project}: workers and server would never meet"
        )
        raise InvalidLayerSetting(msg + "; leave --layer out to take the project's")


def _environ() -> dict[str, str]:
    """Return our environment, without what is meant for us alone."""
    return {key: value for key, value in os.environ.items() if key not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
