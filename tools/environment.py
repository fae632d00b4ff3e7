"""Bring a virtual environment up to date with ``uv.lock``; `make` calls it before every target.

It runs on the standard library of whatever ``python3`` the machine has, so it must not import anything else. The
environment gets a pinned uv from PyPI, and uv then installs exactly what the lock says for the wanted groups. Calls add
to what is there (``--inexact``): the environment of `make demo` is small, and `make lint` later adds to it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.8"
OLDEST = (3, 11)
NEWEST_MINOR = 14


def main() -> int:
    """Set an environment up as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venv", type=Path)
    parser.add_argument("--group", action="append", default=[], help="dependency group of pyproject.toml")
    parser.add_argument("--python", default=None, help="interpreter to build on (default: a suitable one on the path)")
    options = parser.parse_args()
    set_up(options.venv, options.group, options.python)
    return 0


def set_up(venv: Path, groups: list[str], python: str | None = None) -> None:
    """Create and fill the environment, unless its stamp says that nothing changed since the last time."""
    venv = venv.resolve()
    stamp = venv / "fairway-stamps" / ("-".join(sorted(groups)) or "plain")
    wanted = fingerprint()
    if stamp.exists() and stamp.read_text() == wanted and works(venv / "bin" / "python"):
        return
    print(f"setting up {venv.relative_to(ROOT)} ({', '.join(groups) or 'plain'})", file=sys.stderr)
    ensure_venv(venv, python)
    ensure_uv(venv)
    command = [str(venv / "bin" / "uv"), "sync", "--quiet", "--locked", "--inexact", "--all-extras"]
    for group in groups:
        command += ["--group", group]
    if subprocess.run(command, cwd=ROOT, env=uv_environment(venv), check=False).returncode:
        sys.exit(f"could not set up {venv}")
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(wanted)


def fingerprint() -> str:
    """Everything that decides what is installed."""
    digest = hashlib.sha256(UV.encode())
    for name in ("pyproject.toml", "uv.lock"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def uv_environment(venv: Path) -> dict[str, str]:
    """Environment for uv: our interpreter, no downloads of others, and the certificates that pip trusts here."""
    env = dict(os.environ)
    env.pop("VIRTUAL_ENV", None)
    env.update(UV_PROJECT_ENVIRONMENT=str(venv), UV_PYTHON=str(venv / "bin" / "python"), UV_PYTHON_DOWNLOADS="never")
    env.setdefault("UV_SYSTEM_CERTS", "1")
    if "SSL_CERT_FILE" not in env:
        asked = subprocess.run(
            [venv / "bin" / "python", "-m", "pip", "config", "get", "global.cert"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0 and Path(asked.stdout.strip()).is_file():
            env["SSL_CERT_FILE"] = asked.stdout.strip()
    return env


def ensure_venv(venv: Path, python: str | None) -> None:
    """Create the environment if it is missing or its interpreter has gone."""
    if works(venv / "bin" / "python") and works(venv / "bin" / "pip"):
        return
    interpreter = python or find_python()
    shutil.rmtree(venv, ignore_errors=True)
    venv.parent.mkdir(parents=True, exist_ok=True)
    if not works(interpreter, "-c", "import ensurepip, venv"):
        # Debian and Ubuntu ship the interpreter without what a virtual environment needs.
        name = subprocess.check_output(
            [interpreter, "-c", "import sys; print('python%d.%d-venv' % sys.version_info[:2])"], text=True
        )
        installer = [sys.executable, ROOT / "tools" / "system_packages.py", name.strip()]
        if subprocess.run(installer, check=False).returncode:
            sys.exit(1)
    subprocess.run([interpreter, "-m", "venv", venv], check=True)


def ensure_uv(venv: Path) -> None:
    """Install the pinned uv into the environment."""
    uv = venv / "bin" / "uv"
    if uv.exists():
        installed = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False).stdout.split()
        if installed[1:2] == [UV.partition("==")[2]]:
            return
    options = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([venv / "bin" / "python", "-m", "pip", "install", *options, UV], check=True)


def find_python() -> str:
    """``python3`` if it is new enough, else the newest suitable ``python3.x`` on the path."""
    for name in ["python3", *(f"python3.{minor}" for minor in range(NEWEST_MINOR, OLDEST[1] - 1, -1))]:
        found = shutil.which(name)
        if found and works(found, "-c", f"import sys; sys.exit(sys.version_info < {OLDEST})"):
            return found
    sys.exit(f"Fairway needs Python {OLDEST[0]}.{OLDEST[1]} or newer, and found none on the path")


def works(program: Path | str, *arguments: str) -> bool:
    """Whether the program runs at all (a virtual environment dies with the interpreter it was made from)."""
    try:
        done = subprocess.run([program, *(arguments or ("--version",))], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
