"""Which film the demo plays, and the scene that goes with it."""

from pathlib import Path
from typing import Any, Self

import av
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from centre.demo import clip

SCENES = Path(__file__).parent / "scenes"
STREET_S = 60.0
"""How much of the rendered street is shown; it would never end."""


class Film(msgspec.Struct, frozen=True, kw_only=True):
    """What is played: a camera driver with its options, and the scene drawn for it."""

    title: str
    driver: str
    options: dict[str, Any]
    scene: Path
    length_s: float
    path: Path | None


def choose_film(video: Path | None, *, fast: bool, work: Path, console: Console) -> Film:
    """The film that was asked for, else the pedestrians, else the rendered street.

    A film in a codec that cannot be recorded is turned into H.264 in the folder `work`. Raises
    BadInput where a film that was asked for cannot be read.
    """
    with _Told(console) as told:
        if video is not None:
            path = video
            if clip.codec_of(video) not in clip.RECORDABLE:
                path = work / "camera.mp4"
                clip.to_h264(video, path, told)
            return _film(path, video.name, SCENES / "any.toml", fast=fast)
        try:
            path = clip.default_clip(told)
        except clip.NoClip as error:
            said = f"The clip of real people is not to be had ({error}): here is a rendered street."
            console.print(Text(said), soft_wrap=True)
            return _street(fast=fast)
    return _film(path, "pedestrians, PETS 2009", SCENES / "vtest.toml", fast=fast)


def _film(path: Path, title: str, scene: Path, *, fast: bool) -> Film:
    with av.open(str(path)) as container:
        length_s = (container.duration or 0) / 1e6
    options = {"path": str(path.resolve()), "pace": "fast" if fast else "real", "loop": False}
    return Film(
        title=title,
        driver="replay",
        options=options,
        scene=scene,
        length_s=length_s,
        path=path,
    )


def _street(*, fast: bool) -> Film:
    return Film(
        title="rendered street",
        driver="fake",
        options={"pace": "fast" if fast else "real", "duration_s": STREET_S},
        scene=SCENES / "street.toml",
        length_s=STREET_S,
        path=None,
    )


class _Told:
    """Shows the progress of getting the film: a bar for each step on a terminal, else a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""
        self._task: TaskID | None = None
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, step: str, done: float) -> None:
        """How far a step is, 0..1."""
        if step != self._step or self._task is None:
            self._step = step
            self._task = self._bars.add_task(step, total=1.0)
            if not self._console.is_terminal:
                self._console.print(f"{step} ...", highlight=False)
        self._bars.update(self._task, completed=done)
