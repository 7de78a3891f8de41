"""What a box's disk holds of its film after a power cut, told by the pictures themselves.

The camera in the guest draws a street whose every picture since its start is known. So a file is not
counted or measured but played: each picture is compared with the street at that moment, a file that was
closed is what its signed receipt says, and where one file ends the next goes on.
"""

import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import av
import msgspec
import numpy as np
import numpy.typing as npt

from agent.recording.custody.chain import BrokenChain, check
from agent.recording.custody.receipts import BadReceipt, Closed, Started, read_line
from agent.recording.segment_name import PART, SegmentName, parse_segment_name
from drivers.camera.fake import Options, open_camera
from drivers.contracts import Wanted
from drivers.media import Frame

Luma = npt.NDArray[np.uint8]
Blocks = npt.NDArray[np.float32]

CAMERA = "north"
WIDTH_PX, HEIGHT_PX, FPS = 320, 180, 5
STREET_S = 300
"""As much of the street as is drawn here to compare with. No test films for longer after a start."""
CAMERA_TEXT = f"""
[[camera]]
name = "{CAMERA}"
driver = "fake"
options = {{ width_px = {WIDTH_PX}, height_px = {HEIGHT_PX}, fps = {FPS}, noise = 0.0 }}
[camera.detect]
enabled = false
"""
BLOCK_PX = 6
ALIKE = 24.0
"""What compression may make of a block's mean luma. Measured: 20 at most, and where the picture is the
next one of the street 26 at least, 60 and more as a rule.
"""


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was played. `first` is the place of its first picture in the street;
    `wrong` how many of its pictures are not the street at their moment.
    """

    file: str
    name: SegmentName
    pictures: int
    first: int
    wrong: int
    closed: bool

    @property
    def end_ms(self) -> int:
        """When its last picture ends, since the boot."""
        return self.name.begin_ms + self.pictures * 1000 // FPS


class Street:
    """Its pictures since the camera was opened."""

    def __init__(self) -> None:
        self._pictures = np.stack([blocks(luma) for luma in self.pictures()])

    @staticmethod
    def pictures() -> Iterator[Luma]:
        """Each, as the camera draws it."""
        options = Options(width_px=WIDTH_PX, height_px=HEIGHT_PX, fps=FPS, noise=0.0, pace="fast")
        wanted = Wanted(packets=False, frames_fps=float(FPS))
        camera = open_camera(CAMERA, options, wanted, time.monotonic_ns)
        count = 0
        while count < STREET_S * FPS:
            item = camera.read(1.0)
            if isinstance(item, Frame):
                count += 1
                yield np.asarray(item.y)
        camera.close()

    def play(self, file: Path) -> Played | None:
        """A footage file; None where it holds no picture yet."""
        name = parse_segment_name(file.name.removesuffix(PART))
        assert name is not None, file.name
        shown = [*played_blocks(file)]
        if not shown:
            return None
        first = min(range(len(self._pictures)), key=lambda at: self._unlike(shown[:40], at))
        wrong = sum(self._unlike([one], first + number) > ALIKE for number, one in enumerate(shown))
        return Played(
            file=file.name,
            name=name,
            pictures=len(shown),
            first=first,
            wrong=wrong,
            closed=not file.name.endswith(PART),
        )

    def _unlike(self, shown: Sequence[Blocks], first: int) -> float:
        """How far the worst block of each is from the street, on average."""
        places = (first + np.arange(len(shown))) % len(self._pictures)
        return float(np.abs(self._pictures[places] - np.stack(shown)).max(axis=(1, 2)).mean())


def blocks(luma: Luma) -> Blocks:
    """Means of small squares: what compression does to single pixels is not in them."""
    rows, columns = (size // BLOCK_PX for size in luma.shape)
    squares = luma[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(
        rows, BLOCK_PX, columns, BLOCK_PX
    )
    return squares.mean(axis=(1, 3), dtype=np.float32)


def played_blocks(file: Path) -> Iterator[Blocks]:
    """Each picture that plays, up to where a torn file ends."""
    try:
        with av.open(str(file)) as container:
            for frame in container.decode(video=0):
                yield blocks(frame.to_ndarray(format="gray").astype(np.uint8, copy=False))
    except av.FFmpegError:
        if not file.name.endswith(PART):
            raise  # what was closed is whole


def broken(street: Street, footage: Path, custody: Path, box: str) -> list[str]:
    """What does not hold of a disk's footage and its receipts, a line each."""
    bodies, problems = receipts(custody, box)
    closed = {body.segment: body for body in bodies if isinstance(body, Closed)}
    played = [*play_all(street, footage)]
    files = sorted((footage / CAMERA).glob("*.mp4"))
    for file in files:
        receipt = closed.get(file.name)
        if receipt is None:
            # The cut may have come between the two for the newest; the next start makes it up.
            if file != files[-1]:
                problems.append(f"{file.name}: lies there without a receipt")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != receipt.sha256:
            problems.append(f"{file.name}: is not what its receipt says")
    problems += [
        f"{one.file}: {one.wrong} of {one.pictures} pictures are not the street at their moment"
        for one in played
        if one.wrong
    ]
    problems += holes(played)
    return problems


def play_all(street: Street, footage: Path) -> Iterable[Played]:
    """All of a folder, in the order of recording."""
    for file in sorted((footage / CAMERA).glob("*.mp4*")):
        one = street.play(file)
        if one is not None:
            yield one


def holes(played: Sequence[Played]) -> list[str]:
    """Where, within a boot, a file does not go on where the one before ended."""
    found: list[str] = []
    for before, after in itertools.pairwise(played):
        same = before.name.boot == after.name.boot and before.closed
        gap_ms = after.name.begin_ms - before.end_ms
        if same and abs(gap_ms) > 2 * 1000 // FPS:
            found.append(f"{after.file}: begins {gap_ms} ms after {before.file} ended")
        elif same and (before.first + before.pictures - after.first) % (STREET_S * FPS):
            found.append(f"{after.file}: its first picture does not follow the one before")
    return found


def receipts(custody: Path, box: str) -> tuple[list[object], list[str]]:
    """What the chain of custody tells, and what is wrong with it."""
    lines = [
        line
        for file in sorted(custody.glob("*.chain"))
        for line in file.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")  # a torn last one was not promised to anybody
    ]
    if not lines:
        return [], []
    try:
        first = read_line(lines[0]).receipt.body
        assert isinstance(first, Started)
        checked = [*check(iter(lines), box, first.public_key)]
    except (BrokenChain, BadReceipt) as error:
        return [], [f"chain: {error}"]
    return [line.receipt.body for line in checked], []


def newest_end_ms(played: Sequence[Played]) -> Mapping[str, int]:
    """For each boot, when its film ends."""
    ends: dict[str, int] = {}
    for one in played:
        ends[one.name.boot] = max(ends.get(one.name.boot, 0), one.end_ms)
    return ends
