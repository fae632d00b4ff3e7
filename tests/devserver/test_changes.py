"""Which files count when a child of `runserver` cannot start."""

import importlib
import os
import pathlib
import sys

import django
import pytest

from fairway.devserver.changes import project_folders, take_snapshot


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of a project, loaded."""
    path = tmp_path / "changes_example.py"
    path.write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("changes_example")
    yield path.resolve()
    del sys.modules["changes_example"]


def test_libraries_are_no_part_of_the_project(module):
    files = [module, pathlib.Path(os.__file__).resolve(), pathlib.Path(django.__file__).resolve()]
    assert project_folders(files) == {module.parent}


def test_an_edit_and_a_new_file_change_the_snapshot(module):
    first = take_snapshot()
    assert take_snapshot() == first
    os.utime(module, (1, 1))
    second = take_snapshot()
    assert {path for path in second if second[path] != first.get(path)} == {module}
    module.with_name("new.py").touch()
    assert take_snapshot().keys() - second.keys() == {module.with_name("new.py")}
    module.unlink()
    assert module not in take_snapshot()
