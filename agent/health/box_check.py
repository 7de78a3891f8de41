"""Check that a box does its work: cameras send frames, footage grows, the broker answers.

After the boot of a new system, and after a change of the configuration. The evidence is the agent's health and the
footage on the disk.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from agent.base.health_model import CameraHealth
from agent.health.health_file import LiveHealth

MAX_FRAME_AGE_S = 5.0
"""A camera whose last frame is older counts as sending none."""
MAX_FOOTAGE_STALL_S = 15.0
"""Footage that has not grown for longer counts as stalled."""
CAMERA_OPEN_TIMEOUT_S = 60.0
"""Time for a camera to open. One that is closed after it is cut off or broken, which is no fault of a new
system: it is logged, and no longer waited for."""


class ExpectedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A configured camera, and whether it records. `model` is the one that it has to detect with, if that matters."""

    name: str
    record: bool
    model: str | None = None


class BoxSample(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence at one time. `newest_files` has the name and size of each camera's newest file."""

    t_ns: int
    health: LiveHealth | None
    newest_files: Mapping[str, str]


class BoxCheck:
    """Evaluates successive samples. Pure."""

    def __init__(
        self,
        cameras: Sequence[ExpectedCamera],
        started_ns: int,
        open_timeout_s: float = CAMERA_OPEN_TIMEOUT_S,
    ) -> None:
        """A camera that is closed for `open_timeout_s` is no longer waited for."""
        self._cameras = tuple(cameras)
        self._started_ns = started_ns
        self._open_timeout_s = open_timeout_s
        self._newest_files: dict[str, str] = {}
        self._last_growth_ns: dict[str, int] = {}

    def unmet_conditions(self, sample: BoxSample) -> tuple[str, ...]:
        """Return a sentence for each condition that is not met yet."""
        self._update_growth(sample)
        if sample.health is None:
            return ("the agent has reported no health",)
        if sample.health.is_stale(sample.t_ns):
            return (
                f"the agent has reported no health for {sample.health.age_s(sample.t_ns):.0f} s",
            )
        report = sample.health.report
        health_by_name = {camera.name: camera for camera in report.cameras}
        models = {detector.camera: detector.model for detector in report.detectors}
        problems: list[str] = []
        open_count = 0
        for camera in self._cameras:
            health = health_by_name.get(camera.name)
            if health is None or not health.open:
                if self._elapsed_s(sample) <= self._open_timeout_s:
                    problems.append(f"camera {camera.name}: not open yet")
                continue
            open_count += 1
            problems += self._camera_problems(camera, health, models.get(camera.name), sample.t_ns)
        if self._cameras and not open_count and not problems:
            problems.append("no camera is open")
        if not report.outbox.connected:
            problems.append("not connected to the broker")
        return tuple(problems)

    def _camera_problems(
        self, camera: ExpectedCamera, health: CameraHealth, model: str | None, t_ns: int
    ) -> Iterator[str]:
        """Yield what an open camera does not do."""
        if health.age_s is None or health.age_s > MAX_FRAME_AGE_S:
            yield f"camera {camera.name}: sends no frames"
        if camera.record and not self._is_footage_growing(camera.name, t_ns):
            yield f"camera {camera.name}: its footage does not grow"
        if camera.model is not None and model != camera.model:
            yield f"camera {camera.name}: does not detect with {camera.model}"

    def closed_cameras(self, sample: BoxSample) -> tuple[str, ...]:
        """Return the cameras that are not open."""
        cameras = sample.health.report.cameras if sample.health else ()
        open_names = {camera.name for camera in cameras if camera.open}
        return tuple(camera.name for camera in self._cameras if camera.name not in open_names)

    def _elapsed_s(self, sample: BoxSample) -> float:
        return (sample.t_ns - self._started_ns) / 1e9

    def _is_footage_growing(self, camera: str, t_ns: int) -> bool:
        last_growth_ns = self._last_growth_ns.get(camera)
        return last_growth_ns is not None and (t_ns - last_growth_ns) / 1e9 <= MAX_FOOTAGE_STALL_S

    def _update_growth(self, sample: BoxSample) -> None:
        for camera, newest in sample.newest_files.items():
            previous = self._newest_files.get(camera)
            if previous and not newest:
                continue
            # Files from before the first sample are no growth.
            if previous is not None and newest != previous:
                self._last_growth_ns[camera] = sample.t_ns
            self._newest_files[camera] = newest


def describe_newest_file(folder: Path) -> str:
    """Return name and size of a camera's newest file, or "" if there is none; both change as footage grows."""
    try:
        files = [file for file in folder.iterdir() if ".mp4" in file.name]
        newest = max(files, key=lambda file: file.name, default=None)
        return "" if newest is None else f"{newest.name} {newest.stat().st_size}"
    except OSError:
        # Closed and renamed meanwhile, or missing: the next sample shows which.
        return ""


def take_sample(
    health: LiveHealth | None, footage_dir: Path, cameras: Iterable[str], t_ns: int
) -> BoxSample:
    """Return the evidence of now, with the agent's newest health."""
    newest_files = {name: describe_newest_file(footage_dir / name) for name in cameras}
    return BoxSample(t_ns=t_ns, health=health, newest_files=newest_files)
