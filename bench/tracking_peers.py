"""The trackers that ours is compared with, and MOT metrics: the package `trackers` in a process of its own."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import LABELS, Detection
from bench import videos

PEER_PYTHON = videos.ROOT / ".cache" / "bench-peers" / "bin" / "python"
PEERS: Mapping[str, str] = {"bytetrack": "ByteTrack", "ocsort": "OC-SORT"}


class MotScore(msgspec.Struct, frozen=True):
    """Scores of one sequence: higher order tracking accuracy, F1 of identities, and MOTA with its switches."""

    hota: float
    idf1: float
    mota: float
    switches: int


class TrackingPeers:
    """The process of the peers. Its CPU time is its own."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._requests, self._answers, self._folder = process.stdin, process.stdout, folder

    def write_film(
        self,
        name: str,
        frames: Sequence[Sequence[Detection]],
        size_px: tuple[int, int],
        fps: float,
        start_score: float,
    ) -> Path:
        """Write the detections of a film for `track`."""
        width, height = size_px
        rows = [
            (
                index,
                d.box.x * width,
                d.box.y * height,
                (d.box.x + d.box.w) * width,
                (d.box.y + d.box.h) * height,
                d.score,
                LABELS.index(d.label),
            )
            for index, detections in enumerate(frames)
            for d in detections
        ]
        path = self._folder / f"{name}.npz"
        np.savez(
            path,
            rows=np.array(rows, np.float64).reshape(-1, 7),
            frames=len(frames),
            fps=fps,
            start_score=start_score,
        )
        return path

    def track(self, peer: str, film: Path) -> tuple[float, int]:
        """Track a film. Return the CPU seconds, and the most tracks in one frame."""
        answer = self._ask({"tracker": peer, "detections": str(film)})
        return float(answer["cpu_s"]), int(answer["most"])

    def identities(self, peer: str, film: Path) -> npt.NDArray[np.float64]:
        """Track a film. Return rows of frame number, identity or -1, x1, y1, x2, y2, score and index of the label."""
        path = film.with_suffix(".npy")
        self._ask({"tracker": peer, "detections": str(film), "ids": str(path)})
        return np.asarray(np.load(path))

    def score(
        self, truth: Sequence[Sequence[float]], tracks: Sequence[Sequence[float]]
    ) -> MotScore:
        """Compare rows of frame number from 1, identity, left, top, width and height."""
        paths = {}
        for name, rows in (("truth", truth), ("tracks", tracks)):
            paths[name] = self._folder / f"{name}.txt"
            lines = (
                f"{int(frame)},{int(number)},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,1,1\n"
                for frame, number, x, y, w, h in rows
            )
            paths[name].write_text("".join(lines), encoding="ascii")
        return msgspec.convert(self._ask({n: str(path) for n, path in paths.items()}), MotScore)

    def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer


@contextlib.contextmanager
def open_peers() -> Iterator[TrackingPeers]:
    """Start the process. Raises: FileNotFoundError if `make setup-bench` has not installed the peers."""
    script = Path(__file__).parent / "peers" / "tracking.py"
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder,
        subprocess.Popen(
            [str(PEER_PYTHON), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        yield TrackingPeers(process, Path(folder))
        if process.stdin is not None:
            process.stdin.close()
