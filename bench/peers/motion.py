"""Debian's `motion`, configured to watch the same videos in real time and to write no pictures."""

import shutil
from pathlib import Path


def motion_command(
    folder: Path, video: Path, recorded_video: Path | None = None
) -> tuple[str, ...] | None:
    """Return the command line, with its configuration in `folder`, or None if it is not installed.

    With `recorded`, motion is detected on `video` and the packets of `recorded` are stored during motion,
    as its manual advises for cameras with two streams.
    """
    program = shutil.which("motion", path="/usr/bin:/usr/local/bin")
    if program is None:
        return None
    settings = {
        "daemon": "off",
        "log_level": "4",
        "log_file": str(folder / "motion.log"),
        "target_dir": str(folder / "motion"),
        "netcam_url": f"file://{video}",
        "framerate": "15",
        "picture_output": "off",
        "movie_output": "off",
        "webcontrol_port": "0",
        "stream_port": "0",
    }
    if recorded_video is not None:
        settings |= {
            "netcam_high_url": f"file://{recorded_video}",
            "movie_output": "on",
            "movie_passthrough": "on",
        }
    file = folder / ("motion-two.conf" if recorded_video else "motion-one.conf")
    lines = "".join(f"{key} {value}\n" for key, value in settings.items())
    file.write_text(lines, encoding="utf-8")
    return program, "-n", "-c", str(file)
