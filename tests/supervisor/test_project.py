"""Finding a project, asking it for its layer, and comparing that with the server's."""

import argparse
import json

import pytest

from fairway.errors import InvalidLayerSetting, StartFailed, UsageError
from fairway.supervisor import project as module
from fairway.supervisor.project import Answer, Project, check_same_layer, find_project


def given(manage=None, settings=None):
    return argparse.Namespace(manage=manage, settings=settings)


def answering(tmp_path, program, **environ):
    """A project whose `manage.py` is this program."""
    manage = tmp_path / "manage.py"
    manage.write_text(f"import os, sys\n{program}")
    return Project(manage=manage, environ=environ)


def test_the_project_here_or_above(tmp_path, monkeypatch):
    (tmp_path / "manage.py").touch()
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert find_project(given()) == Project(manage=tmp_path / "manage.py", environ={})


def test_the_one_that_is_named(tmp_path):
    manage = tmp_path / "other.py"
    manage.touch()
    found = find_project(given(str(manage), "shop.live"))
    assert found == Project(manage=manage, environ={"DJANGO_SETTINGS_MODULE": "shop.live"})
    with pytest.raises(UsageError, match="--manage nowhere: there is no such file"):
        find_project(given("nowhere"))


def test_no_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="or name the file with --manage"):
        find_project(given())


def test_its_layer_is_the_last_line(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/not/for/you")
    program = """
assert sys.argv[1:] == ["runworker", "--print-layer"] and "NOTIFY_SOCKET" not in os.environ
print("chatter")
print('{"alias": "default", "backend": "x", "url": "local:///' + os.environ["EXTRA"] + '"}')
"""
    assert answering(tmp_path, program, EXTRA="a").ask() == Answer(layer="local:///a", has_delay=False)


@pytest.mark.parametrize("installed", [True, False])
def test_whether_it_has_delayed_messages(tmp_path, installed):
    told = {"alias": "default", "backend": "x", "url": "local:///a", "delay": installed}
    assert answering(tmp_path, f"print({json.dumps(told)!r})").ask().has_delay is installed


@pytest.mark.parametrize("url", ["memory://", ""])
def test_a_layer_that_other_processes_cannot_reach(tmp_path, url):
    program = f"""print('{{"alias": "default", "backend": "fairway.layers.MemoryLayer", "url": "{url}"}}')"""
    with pytest.raises(InvalidLayerSetting, match=r"fairway.layers.MemoryLayer, which other processes cannot reach"):
        answering(tmp_path, program).ask()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("raise SyntaxError('here')", r"failed \(exit code 1\); its last lines:(\n.*)*SyntaxError: here"),
        ("print('no json')", r"told no layer; its last lines:\n    no json"),
        ("print('[]')", "told no layer"),
        ("", "told no layer"),
    ],
)
def test_a_project_that_does_not_answer(tmp_path, program, words):
    with pytest.raises(StartFailed, match=words):
        answering(tmp_path, program).ask()


def test_a_project_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ASK_TIMEOUT", 0.2)
    with pytest.raises(StartFailed, match=r"gave no answer within 0.2 s"):
        answering(tmp_path, "import signal; signal.pause()").ask()


def test_the_same_layer():
    check_same_layer("local:///run/a.sock?mode=0660", "local:///run/a.sock")
    check_same_layer("redis://here", "redis://here")
    for server, project in (("local:///a", "local:///b"), ("redis://here", "local:///a"), ("redis://a", "redis://b")):
        with pytest.raises(InvalidLayerSetting, match="leave --layer out"):
            check_same_layer(server, project)
