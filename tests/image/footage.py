"""The video on a box's disk after a power cut, checked against its own pictures.

The camera in the guest draws a street of which every picture is known. So a file is not counted or
measured but played: each picture is compared with the street at that moment, a closed file matches
its signed receipt, and the next file begins at the end of the one before.
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

from agent.recording.custody.chain import BrokenChain, verify_chain
from agent.recording.custody.receipts import AgentStarted, BadReceipt, SegmentClosed, parse_line
from agent.recording.segment_name import PART_SUFFIX, SegmentName, parse_segment_name
from drivers.contracts import StreamRequest
from drivers.media import Frame
from simulation.camera.fake import Options, open_camera

Luma = npt.NDArray[np.uint8]
Blocks = npt.NDArray[np.float32]

CAMERA = "north"
WIDTH_PX, HEIGHT_PX, FPS = 320, 180, 5
STREET_S = 900
"""As much of the street as is drawn here to compare with. On a busy machine the camera runs for 7 minutes before
a test begins."""
CAMERA_TEXT = f"""
[[camera]]
name = "{CAMERA}"
driver = "fake"
options = {{ width_px = {WIDTH_PX}, height_px = {HEIGHT_PX}, fps = {FPS}, noise = 0.0 }}
[camera.detect]
enabled = false
"""
BLOCK_PX = 6
MAX_BLOCK_DIFFERENCE = 24.0
"""Allowed change of a block's mean luma by compression. Measured: 20 at most; if the picture is the
next one of the street, 26 at least, and 60 and more as a rule.
"""


class PlayedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was played. `first` is the place of its first picture in the street;
    `wrong` how many of its pictures are not the street at their moment.
    """

    file: str
    name: SegmentName
    pictures: int
    first_picture: int
    mismatches: int
    is_closed: bool

    @property
    def end_ms(self) -> int:
        """When its last picture ends, since the boot."""
        return self.name.begin_ms + self.pictures * 1000 // FPS


class ReferenceStreet:
    """Its pictures since the camera was opened."""

    def __init__(self) -> None:
        self._pictures = np.stack([block_means(luma) for luma in self.render_pictures()])

    @staticmethod
    def render_pictures() -> Iterator[Luma]:
        """Each, as the camera draws it."""
        options = Options(width_px=WIDTH_PX, height_px=HEIGHT_PX, fps=FPS, noise=0.0, pace="fast")
        request = StreamRequest(packets=False, frames_fps=float(FPS))
        camera = open_camera(CAMERA, options, request, time.monotonic_ns)
        count = 0
        while count < STREET_S * FPS:
            item = camera.read(1.0)
            if isinstance(item, Frame):
                count += 1
                yield np.asarray(item.y)
        camera.close()

    def play(self, file: Path) -> PlayedFile | None:
        """A footage file; None where it holds no picture yet."""
        name = parse_segment_name(file.name.removesuffix(PART_SUFFIX))
        assert name is not None, file.name
        picture_blocks = [*played_blocks(file)]
        if not picture_blocks:
            return None
        first = min(
            range(len(self._pictures)), key=lambda at: self._difference(picture_blocks[:40], at)
        )
        mismatches = sum(
            self._difference([one], first + number) > MAX_BLOCK_DIFFERENCE
            for number, one in enumerate(picture_blocks)
        )
        return PlayedFile(
            file=file.name,
            name=name,
            pictures=len(picture_blocks),
            first_picture=first,
            mismatches=mismatches,
            is_closed=not file.name.endswith(PART_SUFFIX),
        )

    def _difference(self, picture_blocks: Sequence[Blocks], first: int) -> float:
        """How far the worst block of each is from the street, on average."""
        indexes = (first + np.arange(len(picture_blocks))) % len(self._pictures)
        return float(
            np.abs(self._pictures[indexes] - np.stack(picture_blocks)).max(axis=(1, 2)).mean()
        )


def block_means(luma: Luma) -> Blocks:
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
                yield block_means(frame.to_ndarray(format="gray").astype(np.uint8, copy=False))
    except av.FFmpegError:
        if not file.name.endswith(PART_SUFFIX):
            raise  # what was closed is whole


def find_problems(street: ReferenceStreet, footage: Path, custody: Path, box: str) -> list[str]:
    """Return the problems of a disk's footage and its receipts, a line each."""
    bodies, problems = read_receipts(custody, box)
    closed = {body.segment: body for body in bodies if isinstance(body, SegmentClosed)}
    played = [*play_files(street, footage)]
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
        f"{one.file}: {one.mismatches} of {one.pictures} pictures are not the street at their moment"
        for one in played
        if one.mismatches
    ]
    problems += find_gaps(played)
    return problems


def play_files(street: ReferenceStreet, footage: Path) -> Iterable[PlayedFile]:
    """All of a folder, in the order of recording."""
    for file in sorted((footage / CAMERA).glob("*.mp4*")):
        one = street.play(file)
        if one is not None:
            yield one


def find_gaps(played: Sequence[PlayedFile]) -> list[str]:
    """Return the gaps between successive files of a boot."""
    found: list[str] = []
    for before, after in itertools.pairwise(played):
        is_continuous = before.name.boot == after.name.boot and before.is_closed
        gap_ms = after.name.begin_ms - before.end_ms
        if is_continuous and abs(gap_ms) > 2 * 1000 // FPS:
            found.append(f"{after.file}: begins {gap_ms} ms after {before.file} ended")
        elif is_continuous and (before.first_picture + before.pictures - after.first_picture) % (
            STREET_S * FPS
        ):
            found.append(f"{after.file}: its first picture does not follow the one before")
    return found


def read_receipts(custody: Path, box: str) -> tuple[list[object], list[str]]:
    """Return the receipts of the custody log, and the problems in it."""
    lines = [
        line
        for file in sorted(custody.glob("*.chain"))
        for line in file.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")  # a torn last one was not promised to anybody
    ]
    if not lines:
        return [], []
    try:
        first = parse_line(lines[0]).receipt.body
        assert isinstance(first, AgentStarted)
        checked = [*verify_chain(iter(lines), box, first.public_key)]
    except (BrokenChain, BadReceipt) as error:
        return [], [f"chain: {error}"]
    return [line.receipt.body for line in checked], []


def end_by_boot_ms(played: Sequence[PlayedFile]) -> Mapping[str, int]:
    """For each boot, when its video ends."""
    ends: dict[str, int] = {}
    for one in played:
        ends[one.name.boot] = max(ends.get(one.name.boot, 0), one.end_ms)
    return ends
