"""docs/how-to/remote-workers.md does what it says: its lines, pasted, with this host in the place of the others."""

import os
import re
import subprocess
from pathlib import Path

from websockets.sync.client import connect

from tests.support.components import require_component
from tests.support.processes import ROOT, free_port

PAGE = ROOT / "docs" / "how-to" / "remote-workers.md"


def blocks(language: str) -> list[str]:
    """The code of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def shell(script: str, folder: Path) -> str:
    """What a script writes."""
    done = subprocess.run(["sh", "-ec", script], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_it_can_be_pasted(project):
    require_component("openssl")
    port, folder = free_port(), project.folder
    places = {"hub.internal": "localhost", "7400": str(port), "0.0.0.0": "127.0.0.1", "/etc/mysite": str(folder)}

    def here(text: str) -> str:
        for theirs, ours in places.items():
            text = text.replace(theirs, ours)
        return text

    make, serve, work, several = map(here, blocks("sh"))
    shell(make, folder)
    assert (folder / "hub.key").stat().st_mode & 0o777 == 0o600
    options = re.search(r"--hub-bind.*", serve).group().split()
    with project.serve(*options):
        url = shell(f'{work.splitlines()[0]}\nprintf %s "$FAIRWAY_LAYER"', folder)
        assert work.splitlines()[1:] == ["python manage.py runworker"]
        settings: dict = {}
        os.environ["FAIRWAY_LAYER"] = url
        try:
            exec(here(blocks("python")[0]), settings)
        finally:
            del os.environ["FAIRWAY_LAYER"]
        project.print_layer(settings["CHANNEL_LAYERS"]["default"]["URL"])
        with project.worker(), connect(project.ws) as client:
            client.send("hi")
            assert client.recv(10) == "one hi"
    assert "a.internal" in several
