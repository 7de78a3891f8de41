"""agent.update.update_log and pre_install: the newest entries are kept, whatever happens to the file."""

from pathlib import Path

import pytest

from agent.update import update_log
from agent.update.pre_install import InstallRefused, bundle_version, verify_readable


def test_entries_are_read_in_order_by_every_user(tmp_path: Path) -> None:
    for what in ("one", "two"):
        update_log.append_entry(tmp_path, "amina", what)
    assert [(entry.requester, entry.action) for entry in update_log.read_entries(tmp_path)] == [
        ("amina", "one"),
        ("amina", "two"),
    ]
    assert (tmp_path / update_log.FILE_NAME).stat().st_mode & 0o777 == 0o644


def test_the_update_log_has_a_maximum_of_entries_and_of_text(tmp_path: Path) -> None:
    for number in range(update_log.MAX_ENTRIES + 5):
        update_log.append_entry(tmp_path, "x" * 1000, f"{number} " + "y" * 1000)
    entries = update_log.read_entries(tmp_path)
    assert len(entries) == update_log.MAX_ENTRIES
    assert entries[0].action.startswith("5 ")
    assert (tmp_path / update_log.FILE_NAME).stat().st_size < 200_000


def test_malformed_lines_are_skipped(tmp_path: Path) -> None:
    update_log.append_entry(tmp_path, "amina", "one")
    path = tmp_path / update_log.FILE_NAME
    path.write_bytes(b"\xff\n{}\n" + path.read_bytes() + b'{"id":')
    assert [entry.action for entry in update_log.read_entries(tmp_path)] == ["one"]
    update_log.append_entry(tmp_path, "amina", "two")
    assert [entry.action for entry in update_log.read_entries(tmp_path)] == ["one", "two"]


def test_unreported_entries_are_those_after_the_last_receipt(tmp_path: Path) -> None:
    for what in ("one", "two", "three"):
        update_log.append_entry(tmp_path, "amina", what)
    entries = update_log.read_entries(tmp_path)
    assert update_log.entries_after(entries, entries[0].id) == entries[1:]
    assert update_log.entries_after(entries, entries[2].id) == ()
    assert (
        update_log.entries_after(entries, "")
        == update_log.entries_after(entries, "of another file")
        == entries
    )


@pytest.mark.parametrize(
    "text",
    [None, b"", b"[update]\ncompatible=x\n", b"\xff", b"version=2\n", b"[update\nversion=2\n"],
)
def test_a_bundle_without_a_readable_version_is_refused(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / "manifest.raucm").write_bytes(text)
    with pytest.raises(InstallRefused, match="no readable version"):
        bundle_version(tmp_path)


def test_a_bundles_version_comes_from_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.raucm").write_text(
        "[update]\ncompatible=a%b\nversion=2.0.0\n\n[meta.vigie]\nversion=9\n"
    )
    assert bundle_version(tmp_path) == "2.0.0"


def test_a_payload_with_a_read_error_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/root.img").write_bytes(bytes(3_000_000))
    (tmp_path / "nowhere").symlink_to("absent")
    verify_readable(tmp_path)
    # The kernel gives no byte at address 0 of a process: an error in the midst of a read.
    with pytest.raises(InstallRefused, match="the payload is damaged: "):
        verify_readable(Path("/proc/self/task"))
