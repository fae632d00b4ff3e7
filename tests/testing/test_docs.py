"""The pages about testing: what they show runs, and what their tables name is there."""

import re

import pytest

from fairway.testing import ChannelLiveServerTestCase, Client, WSClient
from tests.support.processes import ROOT
from tests.testing.live_project import PATIENCE, live_project, plugin_options

__all__ = ["live_project"]

REFERENCE = (ROOT / "docs/reference/testing.md").read_text()
HOW_TO = (ROOT / "docs/how-to/testing.md").read_text()


@pytest.mark.timeout(PATIENCE)
def test_what_the_how_to_shows_runs_when_it_is_pasted(live_project):
    routing, *tests, databases = re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL)
    project = live_project("".join(tests))
    project.write("routing.py", routing)
    project.write("settings.py", (project.folder / "settings.py").read_text() + databases)
    done = project.run("pytest", "-q", "-p", "no:cacheprovider", *plugin_options(), "tests.py")
    assert "8 passed" in done.stdout, done.stdout


def names(section):
    """What stands in the first column of the tables of a section: names of attributes."""
    text = REFERENCE.split(f"## {section}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [re.match(r"(await )?(\w+)", code)[2] for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(
    ("section", "thing"),
    [("Client", Client), ("WSClient", WSClient), ("Live server", ChannelLiveServerTestCase)],
)
def test_what_the_reference_names_is_there(section, thing):
    found = names(section)
    assert len(found) > 5
    assert [name for name in found if not hasattr(thing, name) and name != "accepted"] == []
