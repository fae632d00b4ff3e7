"""Install Debian packages that a target needs, where the user may, and otherwise name them in one clear line.

``system_packages.py chromium redis-server`` installs what is missing, as root or with a sudo that asks for nothing.
With ``--optional`` a package that cannot be had is only named: the test that needs it is then skipped aloud, or fails
in CI. A program that is on the path counts as installed, wherever it came from. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys

# Which program shows that a package, or another build of the same thing, is there.
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "nodejs": ("node", "nodejs"),
    "npm": ("npm",),
    "openssl": ("openssl",),
    "postgresql": ("postgres", "pg_ctl"),
    "redis-server": ("redis-server", "valkey-server"),
    "wrk": ("wrk",),
}


def main() -> int:
    """Install what is missing; exit 1 if that failed and the packages are not optional."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--optional", action="store_true", help="name what cannot be installed, and go on")
    options = parser.parse_args()
    missing = [package for package in options.packages if not installed(package)]
    if not missing or install(missing):
        return 0
    print(f"missing system packages; install them with: sudo apt-get install {' '.join(missing)}", file=sys.stderr)
    return 0 if options.optional else 1


def installed(package: str) -> bool:
    """Whether one of its programs is on the path, or else whether dpkg has it."""
    if package in PROGRAMS:
        return any(shutil.which(program) for program in PROGRAMS[package])
    if not shutil.which("dpkg-query"):
        return False
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout == "installed"


def install(packages: list[str]) -> bool:
    """Run apt-get if this user may, and tell whether it worked."""
    if not shutil.which("apt-get"):
        return False
    prefix = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if prefix and (
        not shutil.which("sudo") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0
    ):
        return False
    print(f"installing system packages: {' '.join(packages)}", file=sys.stderr)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = [*prefix, "apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    # The package lists of a fresh machine are old or empty, so a first failure means: fetch them, try again.
    for attempt in (command, [*prefix, "apt-get", "update", "--quiet"], command):
        done = subprocess.run(attempt, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if attempt is command and done.returncode == 0:
            return all(installed(package) for package in packages)
    print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
