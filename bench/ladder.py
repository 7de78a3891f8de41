"""The forms of a clip of one minute: bytes, and CPU to make them, the light one next to ffmpeg's.

A busy street, 1080p15 at 3 Mbit/s, recorded by the recorder's own writer into segments of 10 s. ffmpeg gets the
same clip, and encodes it with the same scale, rate, preset and quality on one thread, in turns in one run. CPU
is user and system time; ffmpeg's is that of the whole process, the forms' is without the start of the child's.
Run: `python -m bench.ladder`.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.clips.small_forms import LIGHT_FPS, LIGHT_WIDTH_PX, write_light_clip, write_thumbnails
from agent.recording.export.clip import write_clip
from bench.clip import SECOND_NS, record
from bench.cpu import Work, cpu_s, one_core, run_in_turns
from bench.table import Row
from bench.videos import BUSY_MAIN, VIDEO_S, video_path

TURNS = 3


def rows() -> list[Row]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name, one_core():
        folder = Path(name)
        sources = record(video_path(BUSY_MAIN), folder / "plain", None)
        paths = {form: folder / form for form in ("original", "light", "thumbs", "ffmpeg")}
        original = paths["original"]

        def cut() -> None:
            write_clip(sources, 0, VIDEO_S * SECOND_NS, original, lambda _kid: None)

        def write_strip() -> None:
            write_thumbnails(original, VIDEO_S, paths["thumbs"], lambda: None)

        works: dict[str, Work] = {
            "original": cut,
            "light": lambda: write_light_clip(original, paths["light"], lambda: None),
            "thumbs": write_strip,
            "ffmpeg": lambda: encode_with_ffmpeg(original, paths["ffmpeg"]),
        }
        turns = run_in_turns(works, TURNS)
        megabytes = {form: path.stat().st_size / 1e6 for form, path in paths.items()}
    forms = [
        Row(
            name=f"clip, {form}: CPU a minute of film",
            value=turns.ms(form, 1),
            unit="ms",
            target="-",
            note=f"{megabytes[form]:.2f} MB",
        )
        for form in ("original", "light", "thumbs")
    ]
    ratio = Row(
        name="light clip / ffmpeg",
        value=turns.ratio("light", "ffmpeg"),
        unit="ratio",
        target="<= 1.2",
        note=f"{turns.ms('ffmpeg', 1):.0f} ms, {megabytes['ffmpeg']:.2f} MB",
    )
    return [*forms, ratio]


def encode_with_ffmpeg(source: Path, out: Path) -> float:
    """Encode the light form with ffmpeg. Return its CPU seconds."""
    command = ["ffmpeg", "-v", "error", "-y", "-nostdin", "-threads", "1", "-i", str(source)]
    command += ["-vf", f"fps={LIGHT_FPS},scale={LIGHT_WIDTH_PX}:-2", "-an", "-c:v", "libx264"]
    command += ["-preset", "veryfast", "-crf", "30", "-bf", "0", "-g", "25", "-threads", "1"]
    command += ["-movflags", "+faststart", "-f", "mp4", str(out)]
    before = cpu_s(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    return cpu_s(resource.RUSAGE_CHILDREN) - before


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(
            f"{line.name:40} {line.value:8.3f} {line.unit:6} {line.target:8} {line.note}\n"
        )
