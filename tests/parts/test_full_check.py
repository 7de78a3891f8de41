"""agent.provisioning.full_check: a settings file is laid out in memory for the check, not on a disk."""

import tempfile
from pathlib import Path

import pytest

from agent.provisioning.full_check import SHM_DIR, usable_shm_dir
from agent.provisioning.settings import FILE_NAME, parse_settings
from tests.settings_files import GOOD_SETTINGS


@pytest.mark.skipif(usable_shm_dir(SHM_DIR) is None, reason="needs a folder in memory")
def test_no_secret_is_written_to_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no place for temporary files but that in memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert parse_settings(GOOD_SETTINGS.encode(), FILE_NAME).embedded.secrets


def test_without_a_memory_folder_the_system_default_is_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert usable_shm_dir(tmp_path) == tmp_path
    assert usable_shm_dir(file) is None
    assert usable_shm_dir(tmp_path / "none") is None
