"""centre.flash.target: the file that remains if it cannot be extended."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from centre.flash.target import FileId, WriteTarget

MIB = 1 << 20


@pytest.fixture
def small_file_limit() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_file_limit")
def test_a_file_that_cannot_be_extended_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / "card.raw"
    path.write_bytes(b"precious")
    expected = FileId.from_stat(path.stat())
    with pytest.raises(OSError, match="too large"):
        WriteTarget.open_file(path, 64 * MIB, expected=expected, even_if_not_empty=True)
    assert path.read_bytes() == b"precious"


@pytest.mark.usefixtures("small_file_limit")
def test_a_new_file_that_cannot_be_extended_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "card.raw"
    with pytest.raises(OSError, match="too large"):
        WriteTarget.open_file(path, 64 * MIB, expected=None, even_if_not_empty=False)
    assert not path.exists()
