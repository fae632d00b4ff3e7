"""Check that no module is too long to be read in one go: review at 400 lines, stop at 600."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REVIEW = 400
STOP = 600


def main() -> int:
    """Name the long ones; exit 1 if one is beyond the stop."""
    stop = False
    for folder in ("src", "tools", "bench"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            lines = len(path.read_text().splitlines())
            if lines > REVIEW:
                stop = stop or lines > STOP
                print(f"{path.relative_to(ROOT)}: {lines} lines ({'split it' if lines > STOP else 'time to split it'})")
    return int(stop)


if __name__ == "__main__":
    sys.exit(main())
