"""Check that each module under src/fairway has its test file: broker/core.py has tests/broker/test_core.py.

A package's ``__init__.py`` may be covered by tests/<package>/test_init.py or by the tests of its modules. The few
other exceptions stand below, each with its reason; one that is no longer needed is an error too.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "fairway"
TESTS = ROOT / "tests"

# Module, relative to src/fairway -> why it has no test file of its own.
EXCEPTIONS: dict[str, str] = {}

# Packages that are themselves tests, for layers of any kind; tests/layers/test_memory.py runs them.
SUITES = ("testing/layer_conformance",)


def main() -> int:
    """Name what has no test file; exit 1 if there is any."""
    complaints = [
        f"src/fairway/{name} has no {expected.relative_to(ROOT)}"
        for name, expected in modules()
        if name not in EXCEPTIONS and not expected.is_file()
    ]
    complaints += [
        f"tools/module_tests.py excuses {name}, which needs no excuse: it is tested or gone"
        for name in EXCEPTIONS
        if not (SOURCE / name).is_file() or expected_test(Path(name)).is_file()
    ]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def modules() -> list[tuple[str, Path]]:
    """Each module that needs a test file, with the file that it needs."""
    found = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
    tested = [path for path in found if path.name != "__init__.py" and str(path.parent) not in SUITES]
    return [(str(path), expected_test(path)) for path in tested]


def expected_test(module: Path) -> Path:
    """tests/broker/test_core.py for broker/core.py."""
    return TESTS / module.parent / f"test_{module.name.lstrip('_')}"


if __name__ == "__main__":
    sys.exit(main())
