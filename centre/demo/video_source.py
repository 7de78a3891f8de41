"""Choice of the video that the demo plays, with its scene."""

from pathlib import Path
from typing import Any, Self

import av
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from centre.demo import clip

SCENES_FOLDER = Path(__file__).parent / "scenes"
RENDERED_STREET_S = 60.0
"""Played duration of the rendered street, which has no end."""


class DemoVideo(msgspec.Struct, frozen=True, kw_only=True):
    """A video: the camera driver with its options, and its scene. `path` is None if rendered."""

    title: str
    driver: str
    options: dict[str, Any]
    scene: Path
    duration_s: float
    path: Path | None


def choose_video(
    video: Path | None, *, fast: bool, work_folder: Path, console: Console
) -> DemoVideo:
    """Return `video`, or the default clip, or the rendered street if that cannot be fetched.

    A video that cannot be recorded as it is, is transcoded to H.264 in `work_folder`.
    Raises: UserError if `video` cannot be read.
    """
    with _PreparationProgress(console) as progress:
        if video is not None:
            path = video
            if not clip.is_recordable(video):
                path = work_folder / "camera.mp4"
                clip.transcode_to_h264(video, path, progress)
            return _replay_video(path, video.name, SCENES_FOLDER / "any.toml", fast=fast)
        try:
            path = clip.fetch_default_clip(progress)
        except clip.ClipUnavailable as error:
            message = f"The default video cannot be fetched ({error}). Playing a rendered street."
            console.print(Text(message), soft_wrap=True)
            return _rendered_street(fast=fast)
    return _replay_video(path, "pedestrians, PETS 2009", SCENES_FOLDER / "vtest.toml", fast=fast)


def _replay_video(path: Path, title: str, scene: Path, *, fast: bool) -> DemoVideo:
    with av.open(str(path)) as container:
        duration_s = (container.duration or 0) / 1e6
    options = {"path": str(path.resolve()), "pace": "fast" if fast else "real", "loop": False}
    return DemoVideo(
        title=title,
        driver="replay",
        options=options,
        scene=scene,
        duration_s=duration_s,
        path=path,
    )


def _rendered_street(*, fast: bool) -> DemoVideo:
    return DemoVideo(
        title="rendered street",
        driver="fake",
        options={"pace": "fast" if fast else "real", "duration_s": RENDERED_STREET_S},
        scene=SCENES_FOLDER / "street.toml",
        duration_s=RENDERED_STREET_S,
        path=None,
    )


class _PreparationProgress:
    """Progress of fetching and transcoding: a bar for each step on a terminal, else a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""
        self._task: TaskID | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, step: str, fraction: float) -> None:
        """Show the fraction (0..1) of a step that is done."""
        if step != self._step or self._task is None:
            self._step = step
            self._task = self._progress.add_task(step, total=1.0)
            if not self._console.is_terminal:
                self._console.print(f"{step} ...", highlight=False)
        self._progress.update(self._task, completed=fraction)
