"""The demo's film: pedestrians of PETS 2009, from Debian's package opencv-doc, kept in a cache.

Only that one file of the package is kept (98 MB come over the line). It is turned into H.264
once, as a camera would send it, because its own codec is of 1999 and no recorder's.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import av

from agent.base.errors import UserError

MEMBER = "usr/share/doc/opencv-doc/examples/data/vtest.avi"
SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
PACKAGE = "opencv-doc"
RECORDABLE = ("h264", "hevc")

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of it is, 0..1."""

_LOOK_EVERY_S = 0.2
_SILENT_AFTER_S = 30.0
_CHUNK_BYTES = 1 << 20


class NoClip(Exception):
    """The film cannot be had here. One line says why."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the film is kept, by the XDG base directory specification."""
    home = environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "vigie"


def default_clip(progress: Progress) -> Path:
    """The pedestrians, in H.264. Raises NoClip where neither disk nor network has them."""
    cache = cache_folder()
    film = cache / "vtest.mp4"
    if film.is_file():
        return film
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="getting-") as name:
            work = Path(name)
            source = Path("/", MEMBER)
            if not _is_it(source):
                source = _from_package(_download(work, progress), work)
            to_h264(source, work / film.name, progress)
            (work / film.name).replace(film)
    except OSError as error:
        raise NoClip(f"{error.strerror or error}: {error.filename or cache}") from error
    return film


def codec_of(path: Path) -> str:
    """The codec of a film. Raises BadInput where it is none."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"film {str(path)!r}: has no picture; expected a video file")
            return container.streams.video[0].codec_context.codec.canonical_name
    except (av.FFmpegError, OSError) as error:
        why = error.strerror or "not a video that can be read"
        raise UserError(f"film {str(path)!r}: {why}") from error


def to_h264(source: Path, target: Path, progress: Progress) -> None:
    """Encode a film as a camera does: H.264, a keyframe a second, no B-frames.

    Raises BadInput where the film cannot be read.
    """
    options = {"preset": "veryfast", "crf": "21", "bf": "0", "sc_threshold": "0"}
    try:
        with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
            video = reader.streams.video[0]
            rate = video.average_rate or video.guessed_rate or 25
            frames = video.frames or round(float(rate) * (reader.duration or 0) / 1e6)
            out = writer.add_stream("libx264", rate=rate, options=options)
            # 4:2:0 halves both sides, so they are made even.
            out.width, out.height = video.width & ~1, video.height & ~1
            out.pix_fmt = "yuv420p"
            out.codec_context.gop_size = max(1, round(float(rate)))
            for index, frame in enumerate(reader.decode(video)):
                picture = frame.reformat(width=out.width, height=out.height, format="yuv420p")
                picture.pict_type = av.video.frame.PictureType.NONE
                writer.mux(out.encode(picture))
                if index % 20 == 0 and frames:
                    progress("turning the film into H.264", min(1.0, index / frames))
            writer.mux(out.encode(None))
    except av.FFmpegError as error:
        raise UserError(f"film {str(source)!r}: {error.strerror}") from error
    progress("turning the film into H.264", 1.0)


def _is_it(path: Path) -> bool:
    """Whether a file is the film, byte for byte."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def _download(work: Path, progress: Progress) -> Path:
    """The package, by apt, into a folder. Progress is how large the file has grown."""
    apt = shutil.which("apt-get")
    if apt is None or shutil.which("dpkg-deb") is None:
        raise NoClip("this system has no apt-get")
    size_bytes = _package_bytes()
    command = [apt, "-q", "download", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15"]
    tick = threading.Event()
    with (work / "apt.log").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - a fixed command
            [*command, PACKAGE], cwd=work, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            silent_s, before = 0.0, 0
            while child.poll() is None and silent_s < _SILENT_AFTER_S:
                tick.wait(_LOOK_EVERY_S)
                now = sum(path.stat().st_size for path in work.rglob("*.deb*") if path.is_file())
                silent_s = 0.0 if now > before else silent_s + _LOOK_EVERY_S
                before = now
                progress(f"fetching the Debian package {PACKAGE}", min(1.0, now / size_bytes))
        finally:
            child.kill()
            child.wait()
    packages = list(work.glob(f"{PACKAGE}_*.deb"))
    if child.returncode != 0 or not packages:
        raise NoClip(f"apt-get could not download {PACKAGE} (is there a network?)")
    return packages[0]


def _package_bytes() -> int:
    """The package's size as apt's lists have it."""
    known = 98_144_132
    done = subprocess.run(  # noqa: S603 - a fixed command
        ["apt-cache", "show", "--no-all-versions", PACKAGE],  # noqa: S607 - apt's own
        capture_output=True,
        text=True,
        check=False,
    )
    sizes = [line[5:].strip() for line in done.stdout.splitlines() if line.startswith("Size:")]
    return int(sizes[0]) if sizes and sizes[0].isdigit() else known


def _from_package(package: Path, work: Path) -> Path:
    """Only the film out of the package, checked."""
    target = work / "vtest.avi"
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:  # noqa: S603 - fixed
        try:
            with tarfile.open(fileobj=child.stdout, mode="r|") as tar:
                member = next((m for m in tar if m.name.removeprefix("./") == MEMBER), None)
                content = tar.extractfile(member) if member else None
                if content is None:
                    raise NoClip(f"{PACKAGE} has no {MEMBER} in it")
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, _CHUNK_BYTES)
        except tarfile.TarError as error:
            raise NoClip(f"{package.name} is damaged: {error}") from error
        finally:
            child.kill()
    if not _is_it(target):
        raise NoClip(f"the film in {package.name} is not the one that is known")
    return target
