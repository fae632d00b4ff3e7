"""The tutorial of the README, pasted as a reader would paste it: two sockets talk through the project it makes."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from websockets.sync.client import connect

from tests.support.dev_project import edit
from tests.support.processes import free_port, running

README = Path(__file__).parent.parent / "README.md"


def python_blocks() -> list[str]:
    """Return the Python code of the README, in order: routing, settings, urls."""
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_tutorial_works_when_pasted(tmp_path: Path) -> None:
    """What one window sends, both receive."""
    routing, settings, urls = python_blocks()
    subprocess.run([sys.executable, "-m", "django", "startproject", "mysite"], cwd=tmp_path, check=True)
    project = tmp_path / "mysite"
    (project / "mysite" / "routing.py").write_text(routing)
    with (project / "mysite" / "settings.py").open("a") as file:
        file.write(settings)
    with (project / "mysite" / "urls.py").open("a") as file:
        file.write(urls)
    port = free_port()
    command = [sys.executable, "manage.py", "runserver", str(port)]
    with running(command, cwd=project, port=port, env={"DJANGO_SETTINGS_MODULE": "mysite.settings"}) as program:
        assert b"new WebSocket" in urlopen(f"http://127.0.0.1:{port}/", timeout=10).read()
        address = f"ws://127.0.0.1:{port}/ws/lobby/"
        with connect(address) as first, connect(address) as second:
            first.send("Hello")
            assert first.recv(timeout=10) == "Hello"
            assert second.recv(timeout=10) == "Hello"
            edit(
                program,
                project / "mysite" / "routing.py",
                routing.replace('message["text"]}', 'message["text"].upper()}'),
            )
            first.send("Hello")
            assert first.recv(timeout=30) == "HELLO"
            assert second.recv(timeout=30) == "HELLO"


def test_the_tutorial_is_as_short_as_it_says() -> None:
    """Thirty lines of code, without the blank ones."""
    lines = [line for block in python_blocks() for line in block.splitlines() if line.strip()]
    assert len(lines) <= 30
