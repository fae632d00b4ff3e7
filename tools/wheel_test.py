"""Build the wheel and use it where the checkout cannot be seen: what users install must work by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from environment import ROOT, uv_environment

VENV = ROOT / ".venvs" / "wheel"
UV = ROOT / ".venv" / "bin" / "uv"

# Each program runs on the installed wheel; the first two have nothing but Fairway's own requirements.
PLAIN = [
    "import sys, fairway; assert 'django' not in sys.modules; print(fairway.__version__)",
    "import fairway.names, fairway.messages, fairway.errors, fairway.limits, fairway.layers",
]
SERVER = [
    "import fairway.wire, fairway.broker, fairway.layers, fairway.server, fairway.worker",
]


def main() -> int:
    """Build, look inside, install, run."""
    with tempfile.TemporaryDirectory() as directory:
        build = [UV, "build", "--quiet", "--wheel", "--out-dir", directory]
        subprocess.run(build, cwd=ROOT, env=uv_environment(ROOT / ".venv"), check=True)
        wheel = next(Path(directory).glob("*.whl"))
        complaints = compare(wheel)
        for complaint in complaints:
            print(complaint, file=sys.stderr)
        install(f"{wheel}")
        for program in PLAIN:
            run(program, directory)
        install(f"{wheel}[server]")
        for program in PLAIN + SERVER:
            run(program, directory)
    return 1 if complaints else 0


def compare(wheel: Path) -> list[str]:
    """Everything under src/fairway is in the wheel, scripts in Lua and SQL and py.typed included."""
    packed = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    listed = subprocess.check_output(["git", "ls-files", "src/fairway"], cwd=ROOT, text=True).split("\n")
    wanted = {Path(name).relative_to("src").as_posix() for name in listed if (ROOT / name).is_file() and name}
    return [f"the wheel lacks {name} of {source}" for name in sorted(wanted - packed)]


def install(requirement: str) -> None:
    """Into a fresh environment, by the lock's versions."""
    shutil.rmtree(VENV, ignore_errors=True)
    environment = uv_environment(ROOT / ".venv")
    python = ROOT / ".venv" / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", "--python", python, VENV], env=environment, check=True)
    locked = [UV, "export", "--quiet", "--locked", "--no-emit-project", "--no-hashes", "--all-extras"]
    constraints = VENV / "constraints.txt"
    constraints.write_bytes(subprocess.check_output(locked, cwd=ROOT, env=environment))
    command = [UV, "pip", "install", "--quiet", "--python", VENV / "bin" / "python", "-c", constraints, requirement]
    subprocess.run(command, env=environment, check=True)


def run(program: str, directory: str) -> None:
    """With warnings as errors, and without the checkout on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([VENV / "bin" / "python", "-W", "error", "-c", program], cwd=directory, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
