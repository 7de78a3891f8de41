"""The demo's default video: pedestrians of PETS 2009, from Debian's package opencv-doc.

The package (98 MB) is downloaded once, and one file of it is transcoded to H.264 and cached: its own
codec, of 1999, cannot be recorded.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path

import av
import numpy as np

from agent.base.errors import UserError
from agent.base.sha256 import file_sha256_hex
from drivers.av_stream import VideoSource, open_video_source
from drivers.display_matrix import UPRIGHT, Orientation
from drivers.errors import DriverError

PACKAGE_MEMBER = "usr/share/doc/opencv-doc/examples/data/vtest.avi"
VIDEO_SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
PACKAGE = "opencv-doc"
RECORDABLE_CODECS = ("h264", "hevc")

OnStepProgress = Callable[[str, float], None]
"""Called with the name of a step and the fraction (0..1) that is done."""

_POLL_S = 0.2
_STALL_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20


class ClipUnavailable(Exception):
    """The default video cannot be fetched; the message says why."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the cache folder, by the XDG base directory specification."""
    home = environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "vigie"


def fetch_default_clip(progress: OnStepProgress) -> Path:
    """Return the default video in H.264. Raises: ClipUnavailable if it is in neither disk nor network."""
    cache = cache_folder()
    video = cache / "vtest.mp4"
    if video.is_file():
        return video
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="getting-") as name:
            work_folder = Path(name)
            source = Path("/", PACKAGE_MEMBER)
            if not _is_expected_video(source):
                source = _extract_from_package(_download(work_folder, progress), work_folder)
            transcode_to_h264(source, work_folder / video.name, progress)
            (work_folder / video.name).replace(video)
    except OSError as error:
        raise ClipUnavailable(f"{error.strerror or error}: {error.filename or cache}") from error
    return video


def is_recordable(path: Path) -> bool:
    """Return whether a video can be recorded as it is: its codec, and no display matrix that turns it.

    Raises: UserError if it is not a video.
    """
    with closing(_open(path)) as source:
        return source.info.codec in RECORDABLE_CODECS and source.orientation == UPRIGHT


def transcode_to_h264(source: Path, target: Path, progress: OnStepProgress) -> None:
    """Encode a video as a camera does: H.264, a keyframe per second, no B-frames, turned as it is displayed.

    Raises: UserError if the video cannot be read.
    """
    options = {"preset": "veryfast", "crf": "21", "bf": "0", "sc_threshold": "0"}
    try:
        with closing(_open(source)) as reader, av.open(str(target), "w") as writer:
            rate = reader.stream.average_rate or reader.stream.guessed_rate or 25
            frames = reader.stream.frames or round(float(rate) * reader.duration_s)
            out = writer.add_stream("libx264", rate=rate, options=options)
            # 4:2:0 needs even sides.
            out.width, out.height = reader.info.width_px & ~1, reader.info.height_px & ~1
            out.pix_fmt = "yuv420p"
            out.codec_context.gop_size = max(1, round(float(rate)))
            pictures = chain.from_iterable(map(reader.decode, reader.packets()))
            for index, stored in enumerate(pictures):
                displayed = _as_displayed(stored, reader.orientation)
                picture = displayed.reformat(width=out.width, height=out.height, format="yuv420p")
                picture.pict_type = av.video.frame.PictureType.NONE
                writer.mux(out.encode(picture))
                if index % 20 == 0 and frames:
                    progress("transcoding the video to H.264", min(1.0, index / frames))
            writer.mux(out.encode(None))
    except av.FFmpegError as error:
        raise UserError(f"video {str(source)!r}: {error.strerror}") from error
    progress("transcoding the video to H.264", 1.0)


def _open(path: Path) -> VideoSource:
    try:
        return open_video_source(str(path), f"video {str(path)!r}")
    except DriverError as error:
        raise UserError(str(error)) from error


def _as_displayed(picture: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
    if orientation == UPRIGHT:
        return picture
    rgb = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
    turned = av.VideoFrame.from_ndarray(orientation.turn(rgb), "rgb24")
    turned.pts, turned.time_base = picture.pts, picture.time_base
    return turned


def _is_expected_video(path: Path) -> bool:
    """Return whether a file is the expected video, by its hash."""
    return path.is_file() and file_sha256_hex(path) == VIDEO_SHA256


def _download(work_folder: Path, progress: OnStepProgress) -> Path:
    """Download the package with apt; the progress is the size of the file."""
    apt = shutil.which("apt-get")
    if apt is None or shutil.which("dpkg-deb") is None:
        raise ClipUnavailable("apt-get or dpkg-deb is not installed")
    size_bytes = _package_size_bytes()
    command = [apt, "-q", "download", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15"]
    tick = threading.Event()
    with (work_folder / "apt.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - a fixed command
            [*command, PACKAGE], cwd=work_folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            stalled_s, previous_bytes = 0.0, 0
            while process.poll() is None and stalled_s < _STALL_TIMEOUT_S:
                tick.wait(_POLL_S)
                current_bytes = sum(
                    path.stat().st_size for path in work_folder.rglob("*.deb*") if path.is_file()
                )
                stalled_s = 0.0 if current_bytes > previous_bytes else stalled_s + _POLL_S
                previous_bytes = current_bytes
                progress(
                    f"downloading the Debian package {PACKAGE}",
                    min(1.0, current_bytes / size_bytes),
                )
        finally:
            process.kill()
            process.wait()
    packages = list(work_folder.glob(f"{PACKAGE}_*.deb"))
    if process.returncode != 0 or not packages:
        raise ClipUnavailable(f"apt-get could not download {PACKAGE} (is there a network?)")
    return packages[0]


def _package_size_bytes() -> int:
    """Return the package's size from apt's lists."""
    fallback_bytes = 98_144_132
    result = subprocess.run(  # noqa: S603 - a fixed command
        ["apt-cache", "show", "--no-all-versions", PACKAGE],  # noqa: S607 - apt's own
        capture_output=True,
        text=True,
        check=False,
    )
    sizes = [line[5:].strip() for line in result.stdout.splitlines() if line.startswith("Size:")]
    return int(sizes[0]) if sizes and sizes[0].isdigit() else fallback_bytes


def _extract_from_package(package: Path, work_folder: Path) -> Path:
    """Extract the video from the package, and check its hash."""
    target = work_folder / "vtest.avi"
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - fixed
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                member = next((m for m in tar if m.name.removeprefix("./") == PACKAGE_MEMBER), None)
                content = tar.extractfile(member) if member else None
                if content is None:
                    raise ClipUnavailable(f"{PACKAGE} does not contain {PACKAGE_MEMBER}")
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, _CHUNK_BYTES)
        except tarfile.TarError as error:
            raise ClipUnavailable(f"{package.name} is corrupt: {error}") from error
        finally:
            process.kill()
    if not _is_expected_video(target):
        raise ClipUnavailable(f"the video in {package.name} is not the expected one")
    return target
