"""Test vectors for verifiers: valid exports, and tampered copies of one.

    python -m tests.vectors.make FOLDER

writes `good/` and others that are valid, `tampered/<name>/` and `vectors.json`, which has the centre's knowledge of the
box (its key, a head of its chain) and the defect of each copy.
"""

import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import msgspec

import tests.vectors.grammar  # noqa: F401 - adds its copies to the table
from agent.base.device_identity import DeviceIdentity
from agent.recording.export.head_coverage import KnownHead, format_head
from tests.vectors import stolen_key, tampering
from tests.vectors.street import StreetBox
from tests.vectors.workbench import Workbench

LEFT_BY_FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini", "segments/.DS_Store")


class ExportVector(msgspec.Struct, frozen=True, kw_only=True):
    """One folder; `problem` is None where it is good. `known_heads` are those of the centre that a verifier knows."""

    name: str
    folder: Path
    problem: str | None
    known_heads: tuple[KnownHead, ...]


class ExportVectors(msgspec.Struct, frozen=True, kw_only=True):
    """`known_key`, `known_head` and `all_heads` are the centre's knowledge of the box: one head from before the export, and all
    with their arrival. Valid too are `masked`, whose
    clip is masked, and whose unmasked files stay in the box; `busy`, of a box that closed and evicted
    footage of the span during the export; `set_back`, across a clock step back; and `shown`, a copy of
    `good` in which file managers left the files `ignored`. `behind` is valid, and its times are an hour before those at which the
    centre received its heads.
    """

    known_key: str
    known_head: KnownHead
    all_heads: tuple[KnownHead, ...]
    good: ExportVector
    masked: ExportVector
    busy: ExportVector
    set_back: ExportVector
    shown: ExportVector
    behind: ExportVector
    ignored: tuple[str, ...]
    tampered: tuple[ExportVector, ...]

    @property
    def accepted(self) -> tuple[ExportVector, ...]:
        """The valid ones."""
        return (self.good, self.masked, self.busy, self.set_back, self.shown)


def build_vectors(folder: Path) -> ExportVectors:
    """Build them all in a folder that is empty."""
    box = StreetBox(folder / "box", "casa-0001")
    box.record("south", 3, 4)
    box.record("north", 1, 14)
    box.append_attested("north")
    box.append_gap("north")
    box.append_serviced("amina")
    box.append_clock_step(3600.0)
    head = box.custody.head()
    known_head = KnownHead(seq=head.seq, sha256=head.sha256)
    box.append_attested("south")
    good = folder / "good"
    box.export("north", 9, 15, good)
    box.masks = (((0.1, 0.1), (0.5, 0.1), (0.5, 0.5)),)
    box.record("yard", 5, 6)
    box.export("yard", 15, 24, folder / "masked")
    box.masks = ()
    export_while_recording(box, folder / "busy")
    export_over_a_clock_set_back(box, folder / "set_back")
    other = StreetBox(folder / "other", "casa-0002")
    other.record("north", 2, 10)
    other.export("north", 1, 6, folder / "of-another-box")
    attacker_identity = DeviceIdentity.load_or_create(folder / "thief")
    all_heads = Workbench(good, box.identity, attacker_identity).heads(stolen_key.arrival_ms)
    vectors = []
    for case in tampering.TAMPERINGS:
        copy = folder / "tampered" / case.name
        shutil.copytree(good, copy)
        bench = Workbench(copy, box.identity, attacker_identity)
        case.tamper(bench, folder / "of-another-box")
        heads = case.choose_heads(bench, all_heads) if case.choose_heads else (known_head,)
        vectors.append(
            ExportVector(name=case.name, folder=copy, problem=case.problem, known_heads=heads)
        )
    lost = folder / "tampered" / "first_segment_lost_on_the_box"
    export_without_the_first_segment(box, lost)
    vectors.append(
        ExportVector(name=lost.name, folder=lost, problem="segment", known_heads=(known_head,))
    )
    shutil.copytree(good, folder / "behind")
    behind = Workbench(folder / "behind", box.identity, attacker_identity)
    stolen_key.shift_times(behind, stolen_key.BEHIND)
    shutil.copytree(good, folder / "shown")
    for name in LEFT_BY_FILE_MANAGERS:
        (folder / "shown" / name).write_bytes(b"\0\0\0\1Bud1")
    for private_folder in ("box", "other", "thief"):
        shutil.rmtree(folder / private_folder)

    def accept(name: str, heads: tuple[KnownHead, ...] = (known_head,)) -> ExportVector:
        return ExportVector(name=name, folder=folder / name, problem=None, known_heads=heads)

    built = ExportVectors(
        known_key=box.public_key,
        known_head=known_head,
        all_heads=all_heads,
        good=accept("good"),
        masked=accept("masked"),
        busy=accept("busy"),
        set_back=accept("set_back"),
        shown=accept("shown"),
        behind=accept("behind", stolen_key.own_heads(behind, stolen_key.BEHIND)),
        ignored=LEFT_BY_FILE_MANAGERS,
        tampered=tuple(vectors),
    )
    (folder / "vectors.json").write_text(json.dumps(_vectors_json(built, folder), indent=1) + "\n")
    return built


def export_while_recording(box: StreetBox, target: Path) -> None:
    """While the first segment is copied another is closed, and the first one goes once it is here."""
    begin_s = box.clock.now_ns / 1e9
    box.record("quay", 6, 8)
    copied = 0

    def on_progress(_done: int, _total: int) -> None:
        nonlocal copied
        copied += 1
        if copied == 1:
            box.record("quay", 7, 4)
            box.evict("quay", 0)

    box.export("quay", begin_s, begin_s + 60, target, on_progress)


def export_over_a_clock_set_back(box: StreetBox, target: Path) -> None:
    """Two recordings one after the other; in UTC the second is before the first."""
    begin_s = box.clock.now_ns / 1e9
    box.record("bridge", 8, 8)
    box.clock.utc_offset = timedelta(seconds=-30)
    box.record("bridge", 9, 8)
    box.export("bridge", begin_s - 30, begin_s + 30, target)


def export_without_the_first_segment(box: StreetBox, target: Path) -> None:
    """The first file of the span was deleted on the box, without a receipt of its eviction."""
    begin_s = (box.clock.utc(box.clock.now_ns) - box.utc_at(0)).total_seconds()
    box.record("gate", 4, 12)
    min((box.state / "footage" / "gate").glob("*.mp4")).unlink()
    box.export("gate", begin_s, begin_s + 60, target)


def _vectors_json(built: ExportVectors, folder: Path) -> object:
    return {
        "known_key": built.known_key,
        "all_heads": [format_head(head) for head in built.all_heads],
        "vectors": [
            {
                "folder": one.folder.relative_to(folder).as_posix(),
                "problem": one.problem,
                "known_heads": [format_head(head) for head in one.known_heads],
                "ignored": built.ignored if one is built.shown else (),
            }
            for one in (*built.accepted, built.behind, *built.tampered)
        ],
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    count = len(build_vectors(target).tampered)
    print(f"{count} tampered copies and six good exports in {target}")  # noqa: T201
