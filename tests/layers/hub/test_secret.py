"""Secrets come from a file or the environment, and messages never show them."""

from pathlib import Path

import pytest

from fairway.errors import InvalidLayerSetting
from fairway.layers.hub.secret import VARIABLE, SecretSource

SECRET = "correct horse battery staple"


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    source = SecretSource(str(file))
    file.write_text(f"{SECRET}\n")
    assert source.read() == (SECRET,)
    file.write_text(f"a newer {SECRET}\n{SECRET}\n")
    assert source.read() == (f"a newer {SECRET}", SECRET)


def test_without_a_file_it_is_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    assert SecretSource().read() == (SECRET,)
    monkeypatch.setenv(VARIABLE, "too short")
    with pytest.raises(InvalidLayerSetting, match="the environment variable FAIRWAY_HUB_SECRET has only 9 bytes"):
        SecretSource().read()
    monkeypatch.delenv(VARIABLE)
    message = "there is no secret for hubs over TCP; set FAIRWAY_HUB_SECRET, or name a file with one: --hub-secret-file"
    with pytest.raises(InvalidLayerSetting, match=message):
        SecretSource(setting="--hub-secret-file").read()


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    source = SecretSource(str(file))
    with pytest.raises(InvalidLayerSetting, match=f"secret_file = '{file}' cannot be read: No such file"):
        source.read()
    file.write_text("short")
    with pytest.raises(InvalidLayerSetting, match=f"secret_file = '{file}' has only 5 bytes in line 1, and 16"):
        source.read()
    file.write_bytes(b"\xff" * 32)
    with pytest.raises(InvalidLayerSetting, match="is no text; it holds the secret in one line"):
        source.read()
