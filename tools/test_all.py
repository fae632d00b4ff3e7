"""Run the tests on each supported Python of this machine (on the path, or among pyenv's), each in a venv of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from environment import NEWEST_MINOR, OLDEST, ROOT, set_up, works


def main() -> int:
    """Run them one after the other, say which are missing, and fail if one failed."""
    failed, missing = [], []
    for minor in range(OLDEST[1], NEWEST_MINOR + 1):
        version = f"3.{minor}"
        python = find(version)
        if python is None:
            missing.append(version)
            continue
        venv = ROOT / ".venvs" / version
        set_up(venv, ["test"], python)
        print(f"── Python {version}, {python}", flush=True)
        command = [venv / "bin" / "python", "-m", "pytest", "-n", "auto", "-m", "not soak and not conformance"]
        if subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, check=False).returncode:
            failed.append(version)
    print(f"failed on: {', '.join(failed) or 'none'}; not on this machine: {', '.join(missing) or 'none'}")
    return 1 if failed else 0


def find(version: str) -> str | None:
    """An interpreter of that version, if the machine has one that runs."""
    pyenv = Path.home() / ".pyenv" / "versions"
    found = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))]
    return next((python for python in found if python and works(python, "-c", "import venv")), None)


if __name__ == "__main__":
    sys.exit(main())
