"""The public face: lazy, complete, and without Django."""

import subprocess
import sys

import pytest

import fairway


def test_each_public_name_is_there():
    for name in fairway.__all__:
        assert getattr(fairway, name) is not None
    assert set(fairway.__all__) <= set(dir(fairway))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'fairway' has no attribute 'Chanel'"):
        _ = fairway.Chanel


def test_importing_it_imports_no_django_and_reads_no_settings():
    code = (
        "import sys, fairway, fairway.messages, fairway.worker.loop, fairway.layers.registry, fairway.server\n"
        "from fairway.layers import MemoryLayer\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('django', 'asgiref')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_importing_every_name_needs_no_settings():
    code = "import fairway; [getattr(fairway, name) for name in fairway.__all__]; fairway.Channel('work')"

    subprocess.run([sys.executable, "-c", code], check=True)
