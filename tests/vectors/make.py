"""Test vectors for verifiers: one good export, and copies that were tampered with.

    python -m tests.vectors.make FOLDER

writes `good/`, `tampered/<name>/` and `vectors.json`, which says what the centre knows of the box
(its key, a head of its chain) and what is wrong with each copy.
"""

import json
import shutil
import sys
from pathlib import Path

import msgspec

from agent.identity import Identity
from agent.record.chain import Head
from tests.vectors import tampering
from tests.vectors.street import StreetBox
from tests.vectors.workbench import Workbench


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """One folder; `problem` is None where it is good."""

    name: str
    folder: Path
    problem: str | None


class Vectors(msgspec.Struct, frozen=True, kw_only=True):
    """`known_key` and `known_head` are what the centre knows of the box. `masked` is good too: its
    clip is masked, and the files that are not stay in the box.
    """

    known_key: str
    known_head: Head
    good: Vector
    masked: Vector
    tampered: tuple[Vector, ...]


def make(folder: Path) -> Vectors:
    """Build them all in a folder that is empty."""
    box = StreetBox(folder / "box", "casa-0001")
    box.record("south", 3, 4)
    box.record("north", 1, 14)
    box.attest("north")
    box.gap("north")
    box.service("amina")
    known_head = box.custody.head()
    box.attest("south")
    good = folder / "good"
    box.export("north", 9, 15, good)
    box.masks = (((0.1, 0.1), (0.5, 0.1), (0.5, 0.5)),)
    box.record("yard", 5, 6)
    box.export("yard", 15, 24, folder / "masked")
    other = StreetBox(folder / "other", "casa-0002")
    other.record("north", 2, 10)
    other.export("north", 1, 6, folder / "of-another-box")
    thief = Identity.load_or_make(folder / "thief")
    vectors = []
    for kind in tampering.ALL:
        copy = folder / "tampered" / kind.name
        shutil.copytree(good, copy)
        kind.work(Workbench(copy, box.identity, thief), folder / "of-another-box")
        vectors.append(Vector(name=kind.name, folder=copy, problem=kind.problem))
    for private in ("box", "other", "thief"):
        shutil.rmtree(folder / private)
    made = Vectors(
        known_key=box.public_key,
        known_head=known_head,
        good=Vector(name="good", folder=good, problem=None),
        masked=Vector(name="masked", folder=folder / "masked", problem=None),
        tampered=tuple(vectors),
    )
    (folder / "vectors.json").write_text(json.dumps(_told(made, folder), indent=1) + "\n")
    return made


def _told(made: Vectors, folder: Path) -> object:
    return {
        "known_key": made.known_key,
        "known_head": {"seq": made.known_head.seq, "sha256": made.known_head.sha256},
        "vectors": [
            {"folder": one.folder.relative_to(folder).as_posix(), "problem": one.problem}
            for one in (made.good, made.masked, *made.tampered)
        ],
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    print(f"{len(make(target).tampered)} tampered copies and one good export in {target}")  # noqa: T201
