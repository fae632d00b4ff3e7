"""Where a hub is found: URLs, the project's own path, and what is no path."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.hub.address import (
    LONGEST_PATH,
    SUFFIX_ROOM,
    HubAddress,
    check_folder,
    default_path,
    make_address,
    parse_url,
    project_folder,
    runtime_folder,
)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("local:///run/a.sock", HubAddress(path="/run/a.sock")),
        ("local:///run/a.sock?mode=0660", HubAddress(path="/run/a.sock", mode=0o660)),
        ("local:///run/a%20b?mode=660&group=www-data", HubAddress(path="/run/a b", mode=0o660, group="www-data")),
        ("local:///run/a?group=", HubAddress(path="/run/a")),
        ("local:///run/a?upstream=redis://h/0?prefix=x", HubAddress(path="/run/a", upstream="redis://h/0?prefix=x")),
        (
            "local:///run/a?upstream=redis://u:%2525@h?prefix=x%26shards=2",
            HubAddress(path="/run/a", upstream="redis://u:%25@h?prefix=x&shards=2"),
        ),
    ],
)
def test_urls(url: str, address: HubAddress) -> None:
    assert parse_url(url) == address
    assert parse_url(address.url) == address


def test_a_url_of_any_path_leads_back() -> None:
    for path in ("/run/ü#?&=%.sock", "/run/\udcff.sock"):
        assert parse_url(HubAddress(path=path).url).path == path


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis:///x", "is no URL of a hub"),
        ("local://host/x", "is no URL of a hub"),
        ("local://[/x", "is no URL"),
        ("local:///x#y", "is no URL of a hub"),
        ("local:///x?mode=0600&mod=1", "'mod' in"),
        ("local:///x?mode=9", "mode '9' cannot be used"),
        ("local:///x?mode=0400", "mode '0400' cannot be used"),
        ("local:///x?mode=1777", "mode '1777' cannot be used"),
        ("local:///x?mode=", "mode '' cannot be used"),
        ("local:///x?mode=-600", "mode '-600' cannot be used"),
    ],
)
def test_urls_that_say_why_not(url: str, reason: str) -> None:
    with pytest.raises(InvalidLayerSetting, match=reason):
        parse_url(url)


def test_modes_that_are_no_modes() -> None:
    for mode in (660, 0o400, -1, None, 1.5):
        with pytest.raises(InvalidLayerSetting, match="an octal number such as 0600"):
            make_address("/run/a", mode)  # type: ignore[arg-type]


def test_paths_that_are_no_paths() -> None:
    with pytest.raises(InvalidLayerSetting, match="'run/a' must be an absolute path"):
        HubAddress(path="run/a")
    with pytest.raises(InvalidLayerSetting, match="null byte"):
        HubAddress(path="/run/\0a")


def test_a_path_that_is_too_long_is_named() -> None:
    most = LONGEST_PATH - SUFFIX_ROOM
    assert HubAddress(path="/" + "x" * (most - 1))
    with pytest.raises(InvalidLayerSetting, match=rf"has {most + 1} bytes, and {most} fit: '/x+'; choose a shorter"):
        HubAddress(path="/" + "x" * most)
    with pytest.raises(InvalidLayerSetting, match=f"has {2 * most + 1} bytes"):
        HubAddress(path="/" + "ü" * most)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="fw-") as folder:
        yield Path(folder).resolve()


def test_each_project_has_a_path_of_its_own(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path = short_path
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("one", "two"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "manage.py").touch()
    monkeypatch.chdir(tmp_path / "one" / "below")
    assert project_folder() == tmp_path / "one"
    path = default_path()
    assert path.startswith(str(tmp_path / "fairway" / "one-"))
    assert make_address().path == parse_url("local://").path == path
    monkeypatch.chdir(tmp_path / "two")
    assert default_path() != path


def test_a_folder_with_an_odd_name_makes_a_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / ("mein schönes/".strip("/") + "x" * 60)
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert project_folder() == folder
    assert Path(default_path()).name.startswith("mein-sch-nesxxxxxxxxxxxx-")


def test_without_a_runtime_folder_there_is_one_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert runtime_folder().parent == tmp_path
    assert runtime_folder().name.startswith("fairway-")


def test_a_runtime_folder_that_others_may_write_to_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In /tmp anybody may have put a folder, or a link, under our name, and a hub of their own into it."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = runtime_folder()
    check_folder(str(folder / "a.sock"))
    folder.mkdir(mode=0o700)
    check_folder(str(folder / "a.sock"))
    folder.chmod(0o777)
    with pytest.raises(LayerUnavailable, match="only you can write to"):
        check_folder(str(folder / "a.sock"))
    check_folder(str(tmp_path / "a.sock"))
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LayerUnavailable, match="only you can write to"):
        check_folder(str(folder / "a.sock"))
