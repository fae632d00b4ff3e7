"""The files that may mend a child of `runserver` that cannot start, seen from its parent.

Django's autoreload lives in the child and watches what the child has loaded. Where the settings cannot be loaded there
is no such child. The parent still has the modules of its own start: their files are watched, and whatever Python files
are in the folders of those that belong to the project.
"""

import site
import sysconfig
from pathlib import Path

from django.utils.autoreload import StatReloader, iter_all_python_module_files

Snapshot = dict[Path, float]
"""File -> when it was changed."""


def take_snapshot() -> Snapshot:
    """Return the state of all files that count."""
    reloader = StatReloader()
    files = list(iter_all_python_module_files())
    for folder in project_folders(files):
        reloader.watch_dir(folder, "*.py")
    return dict(reloader.snapshot_files())


def project_folders(files: list[Path]) -> set[Path]:
    """Return the folders of files that are neither the standard library's nor an installed package's."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    libraries = {Path(path).resolve() for path in (*paths, *site.getsitepackages(), site.getusersitepackages())}
    return {path.parent for path in files if libraries.isdisjoint(path.parents)}
