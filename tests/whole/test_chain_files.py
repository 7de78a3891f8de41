"""agent.recording.custody.chain_files: the blocks in which a chain is read backwards."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.recording.custody import chain_files
from agent.recording.custody.chain_files import read_blocks_backwards, read_lines_backwards

contents = st.lists(st.sampled_from([b"\n", b"a", b"bcdef" * 3, bytes(40)]), max_size=30).map(
    b"".join
)
"""Lines shorter and longer than a block, also empty ones, and a last one without its line break."""


@given(st.lists(contents, max_size=3), st.integers(1, 64))
def test_blocks_are_whole_lines_from_the_newest_to_the_oldest(
    files: list[bytes], block_bytes: int
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(chain_files, "_BLOCK_BYTES", block_bytes)
        for number, content in enumerate(files):
            (Path(folder) / f"{number + 1:010d}.chain").write_bytes(content)
        blocks = list(read_blocks_backwards(Path(folder)))
        lines = list(read_lines_backwards(Path(folder)))
    assert b"".join(reversed(blocks)) == b"".join(files)
    assert all(block.endswith(b"\n") for block in blocks if not _ends_a_file(block, files))
    whole_lines = [line for content in files for line in content.splitlines(keepends=True)]
    assert lines == [line for line in reversed(whole_lines) if line.endswith(b"\n")]


def _ends_a_file(block: bytes, files: list[bytes]) -> bool:
    return any(content.endswith(block) for content in files)
