"""agent.config.commit_confirm: a change on trial stays if it is confirmed, and is rolled back otherwise."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base import file_lock
from agent.base.errors import UserError
from agent.base.file_lock import LockTimeout
from agent.config.commit_confirm import MAX_STARTS, CommitConfirm
from tests.parts.killed_change import kill_at_each_step
from tests.stopped_lock_holder import stopped_lock_holder

OLD, NEW = "old = true\n", "new = true\n"
BOOT, OTHER_BOOT = "boot-1", "boot-2"
UNTIL_NS = 300_000_000_000


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "vigie.toml"
    file.write_text(OLD)
    file.chmod(0o640)
    return file


def begun(config: Path) -> CommitConfirm:
    trial = CommitConfirm(config)
    trial.begin(NEW, "box.site", "amina", BOOT, UNTIL_NS)
    return trial


def test_a_change_on_trial_is_in_the_file_and_the_previous_one_in_its_backup(config: Path) -> None:
    begun(config)
    assert config.read_text() == NEW
    assert config.with_name("vigie.toml.before").read_text() == OLD
    modes = {stat.S_IMODE(path.stat().st_mode) for path in config.parent.iterdir()}
    assert modes == {0o640}


def test_a_confirmed_change_survives_a_boot(config: Path) -> None:
    begun(config).confirm(UNTIL_NS - 1, BOOT)
    assert CommitConfirm(config).undo_if_expired(10 * UNTIL_NS, OTHER_BOOT) is None
    assert config.read_text() == NEW
    assert CommitConfirm(config).pending() is None


def test_a_change_stays_on_trial_while_a_stopped_process_holds_the_lock(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = begun(config)
    monkeypatch.setattr(file_lock, "LOCK_TIMEOUT_S", 0.1)
    with stopped_lock_holder(config.parent):
        with pytest.raises(LockTimeout, match=r"vigie\.toml: another process has held the lock"):
            trial.undo_if_expired(UNTIL_NS, BOOT)
        assert config.read_text() == NEW
    assert trial.undo_if_expired(UNTIL_NS, BOOT) is not None
    assert config.read_text() == OLD


@pytest.mark.parametrize(
    ("now_ns", "boot", "undone"),
    [
        (0, BOOT, False),
        (UNTIL_NS - 1, BOOT, False),
        (UNTIL_NS, BOOT, True),
        (0, OTHER_BOOT, True),
        (UNTIL_NS - 1, OTHER_BOOT, True),
    ],
)
def test_an_unconfirmed_change_is_rolled_back_after_its_time_or_a_boot(
    config: Path, now_ns: int, boot: str, undone: bool
) -> None:
    begun(config)
    standing = CommitConfirm(config).undo_if_expired(now_ns, boot)
    assert (standing is not None) is undone
    assert config.read_text() == (OLD if undone else NEW)
    assert CommitConfirm(config).undo_if_expired(now_ns, boot) is None


def test_an_agent_that_crashes_on_a_change_gets_the_previous_configuration(config: Path) -> None:
    trial = begun(config)
    for _ in range(MAX_STARTS):
        assert trial.on_agent_start(0, BOOT) is None
        assert config.read_text() == NEW
    assert trial.on_agent_start(0, BOOT) is not None
    assert config.read_text() == OLD
    assert trial.on_agent_start(0, BOOT) is None


def test_an_agent_started_after_a_boot_gets_the_previous_configuration(config: Path) -> None:
    assert begun(config).on_agent_start(0, OTHER_BOOT) is not None
    assert config.read_text() == OLD


def test_a_late_confirmation_is_refused(config: Path) -> None:
    trial = begun(config)
    with pytest.raises(UserError, match="too late"):
        trial.confirm(UNTIL_NS, BOOT)
    with pytest.raises(UserError, match="too late"):
        trial.confirm(0, OTHER_BOOT)


def test_one_change_is_on_trial_at_a_time(config: Path) -> None:
    trial = begun(config)
    with pytest.raises(UserError, match="on trial already"):
        trial.begin("third = true\n", "box.site", "amina", BOOT, UNTIL_NS)
    assert config.with_name("vigie.toml.before").read_text() == OLD


def test_a_change_can_be_rolled_back_at_once_and_started_again(config: Path) -> None:
    trial = begun(config)
    rollback = trial.undo()
    assert rollback is not None
    assert rollback.restored
    assert (rollback.commit.keys, rollback.commit.by) == ("box.site", "amina")
    assert config.read_text() == OLD
    assert trial.undo() is None
    begun(config)
    assert config.read_text() == NEW


def test_a_concurrent_edit_of_the_file_stays(config: Path) -> None:
    trial = begun(config)
    config.write_text("by the centre\n")
    rollback = trial.undo_if_expired(UNTIL_NS, BOOT)
    assert rollback is not None
    assert not rollback.restored
    assert str(rollback.outcome) == "the file was changed meanwhile, and stays as it is"
    assert config.read_text() == "by the centre\n"
    assert trial.pending() is None


def test_without_its_backup_the_file_stays_unchanged(config: Path) -> None:
    trial = begun(config)
    config.with_name("vigie.toml.before").unlink()
    rollback = trial.undo()
    assert rollback is not None
    assert not rollback.restored
    assert config.read_text() == NEW


def test_a_deleted_file_is_restored(config: Path) -> None:
    trial = begun(config)
    config.unlink()
    trial.undo_if_expired(UNTIL_NS, BOOT)
    assert config.read_text() == OLD


def test_through_a_link_the_target_file_is_changed(config: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(config)
    begun(link)
    assert link.is_symlink()
    CommitConfirm(config).undo_if_expired(0, OTHER_BOOT)
    assert link.read_text() == OLD


@given(st.binary(max_size=200))
def test_an_unreadable_record_counts_as_not_confirmed(
    tmp_path_factory: pytest.TempPathFactory, record: bytes
) -> None:
    config = tmp_path_factory.mktemp("box") / "vigie.toml"
    config.write_text(OLD)
    trial = begun(config)
    config.with_name("vigie.toml.pending").write_bytes(record)
    assert trial.undo_if_expired(0, BOOT) is not None
    assert config.read_text() == OLD


def prepare_file(folder: Path, kind: str) -> None:
    config = folder / "vigie.toml"
    config.write_text(OLD)
    if kind == "undo":
        begun(config)


def change_file(folder: Path, kind: str) -> None:
    config = folder / "vigie.toml"
    if kind == "undo":
        CommitConfirm(config).undo()
    else:
        begun(config)


def check_file(folder: Path, _kind: str) -> None:
    config = folder / "vigie.toml"
    assert config.read_text() in (OLD, NEW)
    CommitConfirm(config).undo_if_expired(0, OTHER_BOOT)
    assert config.read_text() == OLD
    assert CommitConfirm(config).pending() is None


@pytest.mark.parametrize("kind", ["begin", "undo"])
def test_killed_at_any_step_a_change_ends_with_the_previous_configuration(
    tmp_path: Path, kind: str
) -> None:
    steps = kill_at_each_step(
        tmp_path, kind, prepare=prepare_file, change=change_file, check=check_file
    )
    assert steps > 5
