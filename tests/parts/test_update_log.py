"""agent.update.update_log: the newest entries are kept, whatever happens to the file."""

from pathlib import Path

from agent.update import update_log


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
