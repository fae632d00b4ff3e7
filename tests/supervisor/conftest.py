"""What these tests share is in `running` and `support`."""

import pytest

from tests.supervisor.running import Project


@pytest.fixture
def project(tmp_path_factory):
    """A project in a folder with a short name: the path of a Unix socket may not be long."""
    project = Project(tmp_path_factory.mktemp("p"))
    yield project
    project.kill_server()
