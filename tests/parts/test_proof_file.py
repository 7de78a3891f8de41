"""The file of a proof of counts."""

from pathlib import Path

import pytest

from agent.base.errors import UserError
from centre.proof_file import read_proof, write_proof
from tests.count_proofs import count_proof, light_proof


def test_a_proof_that_was_written_is_read(tmp_path: Path) -> None:
    proof = count_proof(light_proof("day"), light_proof("night", f1_low=0.5))
    assert read_proof(write_proof(tmp_path, "north", proof)) == proof


@pytest.mark.parametrize(
    ("text", "changed", "problem"),
    [
        ("[proofs.north]", "[north]", "north"),
        ("[proofs.north]", "[proofs]\nsouth = 1\n[proofs.north]", "south"),
        ("[proofs.north]", "[settings]\n[proofs.north]", "settings"),
        ("clips = 7", "clips = 0", "clips"),
        ("f1 = 0.956", "f1 = 2.0", "f1"),
        ("detect_fps", "fps", "fps"),
        ("[proofs.north]", "[", "not valid TOML"),
        ("[proofs.north]", "#" * 2_000_000, "bytes"),
    ],
)
def test_another_file_is_refused_in_one_line(
    tmp_path: Path, text: str, changed: str, problem: str
) -> None:
    path = write_proof(tmp_path, "north", count_proof())
    assert text in path.read_text()
    path.write_text(path.read_text().replace(text, changed))
    with pytest.raises(UserError) as refused:
        read_proof(path)
    message = str(refused.value)
    assert problem in message
    assert str(path) in message
    assert "\n" not in message


def test_the_proofs_of_two_cameras_are_refused(tmp_path: Path) -> None:
    path = write_proof(tmp_path, "north", count_proof())
    path.write_text(path.read_text() + path.read_text().replace("north", "south"))
    with pytest.raises(UserError, match="proofs"):
        read_proof(path)
