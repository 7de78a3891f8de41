"""Results of the detection pipeline, made once for each film or case and kept in `.cache/accuracy`.

A result is kept by the hash of the film, the case, the model and the source of the pipeline: a rule can be changed and
measured again without the detector. The gate's pictures are not kept: they are made again, and compared with the
checksums of those that the pipeline saw.
"""

import ast
import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np

from agent.base.model import FrameResult
from agent.detection import image, pipeline, rule_engine, tflite
from agent.detection.contrast_stretch import ContrastStretch
from agent.detection.pipeline import DetectionPipeline, PipelineSettings
from agent.detection.tflite import TfliteDetector
from agent.detection.view_monitor import ViewMonitor
from bench import videos
from drivers.media import Frame

FOLDER = videos.ROOT / ".cache" / "accuracy"
SETTINGS = PipelineSettings()


class KeptResults(msgspec.Struct, frozen=True):
    """The results of a film without the gate's pictures, and the checksums of these."""

    results: tuple[FrameResult, ...]
    gate_checksums: tuple[int, ...]


class ResultCache:
    """Detects road users in films, or returns the results that were kept. `detected` counts the films that were not."""

    def __init__(self, detector: TfliteDetector, folder: Path = FOLDER) -> None:
        self._detector = detector
        self._folder = folder
        self.detected = 0

    def results(
        self,
        film: Path,
        case: bytes,
        frames: Callable[[], Iterable[Frame]],
        shown_before: Callable[[], Iterable[Frame]] = tuple,
    ) -> Iterator[FrameResult]:
        """Yield the results of the frames that `frames` returns, at each call the same ones.

        They are made from `film`; `case` says how. The camera has shown `shown_before` to the diagnosis of its view.
        """
        path = self._folder / f"{self._key(film, case)}.results"
        kept = self._read(path, frames)
        if kept is None:
            kept = self._detect(frames(), shown_before())
            self.detected += 1
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(zlib.compress(msgspec.msgpack.encode(kept), 1))
            unfinished.rename(path)
        for result, frame in zip(kept.results, frames(), strict=True):
            yield msgspec.structs.replace(result, gate_luma=_gate_luma(frame))

    def _read(self, path: Path, frames: Callable[[], Iterable[Frame]]) -> KeptResults | None:
        """Return kept results, or None if there are none or the gate's pictures have changed."""
        if not path.exists():
            return None
        kept = msgspec.msgpack.decode(zlib.decompress(path.read_bytes()), type=KeptResults)
        checksums = tuple(_checksum(frame) for frame in frames())
        return kept if checksums == kept.gate_checksums else None

    def _detect(self, frames: Iterable[Frame], shown_before: Iterable[Frame]) -> KeptResults:
        view_monitor, contrast_stretch = ViewMonitor(), ContrastStretch()
        watched, detection = (
            DetectionPipeline(
                detector, SETTINGS, view_monitor=view_monitor, contrast_stretch=contrast_stretch
            )
            for detector in (None, self._detector)
        )
        for frame in shown_before:
            watched.process(frame)
        results, checksums = [], []
        for frame in frames:
            result = detection.process(frame)
            checksums.append(zlib.crc32(np.ascontiguousarray(result.gate_luma)))
            results.append(msgspec.structs.replace(result, gate_luma=None))
        return KeptResults(tuple(results), tuple(checksums))

    def _key(self, film: Path, case: bytes) -> str:
        parts = (
            file_digest(film),
            case,
            self._detector.card.sha256.encode(),
            msgspec.json.encode(SETTINGS),
            pipeline_digest(),
        )
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _gate_luma(frame: Frame) -> np.ndarray:
    return image.downscale_luma(frame.y, SETTINGS.gate_width_px)


def _checksum(frame: Frame) -> int:
    return zlib.crc32(np.ascontiguousarray(_gate_luma(frame)))


@functools.cache
def file_digest(path: Path) -> bytes:
    """Return the hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).digest()


def pipeline_sources() -> Mapping[Path, str]:
    """Return the modules of `agent.detection` that the pipeline imports, each as its syntax tree without docstrings."""
    return _imported_sources(Path(pipeline.__file__), Path(tflite.__file__))


def pipeline_digest() -> bytes:
    """Return the hash of the modules that the pipeline imports, without comments and docstrings."""
    return _digest(pipeline_sources())


def rules_digest() -> bytes:
    """Return the same of the modules that the rule engine imports."""
    return _digest(_imported_sources(Path(rule_engine.__file__)))


@functools.cache
def _imported_sources(*starts: Path) -> Mapping[Path, str]:
    """Return modules and those that they import, of one folder and the folders in it."""
    folder = starts[0].parent
    root = folder.parents[1]
    found: dict[Path, str] = {}
    waiting = list(starts)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = None
        found[path] = ast.dump(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                files = [root / f"{name.replace('.', '/')}.py" for name in names]
                waiting += [one for one in files if one.is_relative_to(folder) and one.exists()]
    return found


def _digest(sources: Mapping[Path, str]) -> bytes:
    return hashlib.sha256("\n".join(sources[path] for path in sorted(sources)).encode()).digest()
