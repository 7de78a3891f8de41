"""GStreamer's own recorder, which decodes a camera's small stream and splits its large one, in real time."""

import shutil
from pathlib import Path

SEGMENT_NS = 10_000_000_000


def gstreamer_command(folder: Path, video: Path, recorded_video: Path) -> tuple[str, ...] | None:
    """Return the command line, or None if it is not installed.

    The pictures of `video` are decoded by one thread and dropped; the packets of `recorded_video` become files of 10 s
    in `folder`. It detects nothing and makes nothing durable.
    """
    program = shutil.which("gst-launch-1.0", path="/usr/bin:/usr/local/bin")
    if program is None:
        return None
    decode = "h264parse ! avdec_h264 max-threads=1 ! fakesink sync=true"
    record = f"h264parse ! identity sync=true ! splitmuxsink max-size-time={SEGMENT_NS}"
    return (
        program,
        "--quiet",
        *f"filesrc location={video} ! qtdemux ! {decode}".split(),
        *f"filesrc location={recorded_video} ! qtdemux ! {record} location={folder}/%05d.mp4".split(),
    )
