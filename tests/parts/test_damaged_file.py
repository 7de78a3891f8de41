"""agent.base.damaged_file: what is damaged gets out of the way, whatever is in its place."""

from pathlib import Path

import pytest

from agent.base import damaged_file
from agent.base.damaged_file import (
    clear_folder_place,
    damaged_path,
    find_unreported,
    is_unreported,
    mark_reported,
    set_aside,
    unreported_path,
)


def make(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "file":
            path.write_text(kind)
        case "folder":
            path.mkdir()
            (path / "inside").write_text("x")
        case _:
            path.symlink_to(path.name)


@pytest.mark.parametrize("before", ["nothing", "file", "folder", "loop"])
@pytest.mark.parametrize("kind", ["file", "folder", "loop"])
def test_whatever_is_damaged_replaces_what_was_set_aside_before(
    tmp_path: Path, kind: str, before: str
) -> None:
    path = tmp_path / "heads" / "mast" / "presets.json"
    make(path, kind)
    reported = damaged_path(unreported_path(path))
    for target in (unreported_path(path), reported):
        if before != "nothing":
            make(target, before)
    set_aside(path, "a reason")
    assert not path.exists()
    assert not path.is_symlink()
    assert is_unreported(path)
    (found,) = find_unreported(tmp_path)
    assert found == unreported_path(path)
    mark_reported(found)
    assert list(find_unreported(tmp_path)) == []
    assert [entry.name for entry in path.parent.iterdir()] == ["presets.json.damaged"]


def test_a_disk_that_refuses_leaves_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    make(path, "file")

    def refuse(_path: Path, _target: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", refuse)
    set_aside(path, "a reason")
    assert path.exists()
    assert "cannot be renamed" in caplog.text


def test_large_folders_and_what_was_set_aside_are_not_searched(tmp_path: Path) -> None:
    for name in ("footage/north/a.unreadable", "heads/b.unreadable", "c.unreadable/d.unreadable"):
        make(tmp_path / name, "file")
    found = [str(path.relative_to(tmp_path)) for path in find_unreported(tmp_path, ("footage",))]
    assert found == ["c.unreadable", "heads/b.unreadable"]


@pytest.mark.parametrize(
    ("kind", "stays"), [("file", False), ("loop", False), ("folder", True), ("away", True)]
)
def test_a_folders_place_is_cleared_of_what_is_no_folder(
    tmp_path: Path, kind: str, stays: bool
) -> None:
    path = tmp_path / "footage"
    if kind == "away":
        path.symlink_to(tmp_path / "disk that is not mounted")
    else:
        make(path, kind)
    clear_folder_place(path)
    assert (path.is_symlink() or path.exists()) is stays
    assert damaged_file.is_unreported(path) is not stays
