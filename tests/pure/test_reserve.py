"""What a disk has less than what must stay free, bytes and files."""

import os

import pytest

from agent.recording.retention.reserve import RESERVE_FILES, SpaceShortfall, space_shortfall

GB = 10**9
BLOCK = 4096


def disk(free_bytes: int, files: int, free_files: int) -> os.statvfs_result:
    """Of 100 GB."""
    blocks, free = 100 * GB // BLOCK, free_bytes // BLOCK
    return os.statvfs_result(
        (BLOCK, BLOCK, blocks, free, free, files, free_files, free_files, 0, 255)
    )


@pytest.mark.parametrize(
    ("free_bytes", "files", "free_files", "lacks"),
    [
        pytest.param(50 * GB, 400_000, 300_000, SpaceShortfall(), id="room for all"),
        pytest.param(0, 400_000, 300_000, SpaceShortfall(bytes=GB), id="no bytes"),
        pytest.param(50 * GB, 400_000, 0, SpaceShortfall(files=RESERVE_FILES), id="no inodes"),
        pytest.param(50 * GB, 400_000, RESERVE_FILES - 7, SpaceShortfall(files=7), id="few inodes"),
        pytest.param(50 * GB, 400_000, RESERVE_FILES, SpaceShortfall(), id="just enough inodes"),
        pytest.param(50 * GB, 200, 4, SpaceShortfall(files=6), id="a twentieth of few"),
        pytest.param(
            50 * GB, 0, 0, SpaceShortfall(), id="a file system without a number of inodes"
        ),
        pytest.param(
            0, 400_000, 0, SpaceShortfall(bytes=GB, files=RESERVE_FILES), id="nothing at all"
        ),
    ],
)
def test_bytes_and_files_are_looked_at_apart(
    free_bytes: int, files: int, free_files: int, lacks: SpaceShortfall
) -> None:
    assert space_shortfall(disk(free_bytes, files, free_files), GB) == lacks
    assert bool(lacks) == (lacks != SpaceShortfall())
