"""Cost of a clip of 20 s: cut by fragments against ffmpeg's concat, in turns in one run.

One 1080p25 camera of 4 Mbit/s, recorded by the recorder's own writer into segments of 10 s, plain and
encrypted. ffmpeg gets the same segments (the plain ones: it cannot unwrap a key), the same span and
`-c copy`, and writes a progressive file with its index in front, as the product does. CPU is user and
system time; ffmpeg's is that of the whole process, as it would be started for each clip.
Run: `python -m bench.clip`.
"""

import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import SystemClock
from agent.config.recording import Recipient
from agent.recording.encryption.key_wrapping import Sealer
from agent.recording.encryption.keys import KeyRing, encode_public_key
from agent.recording.export.clip import ClipSource, write_clip
from agent.recording.open_segment import OpenSegment
from agent.recording.segment_name import SegmentName
from bench.cpu import Work, cpu_s, one_core, run_in_turns
from bench.recorded_video import write_looped_video, write_short_video
from bench.table import Row
from drivers.av_stream import open_video_source, to_media_packet

SECOND_NS = 1_000_000_000
SEGMENT_S = 10.0
BEGIN_S, END_S = 104, 124
"""Twenty seconds that begin inside a segment and touch three."""

TURNS = 7


def record(video: Path, folder: Path, sealer: Sealer | None) -> list[ClipSource]:
    """Record the video into segments."""
    folder.mkdir()
    source = open_video_source(str(video), "bench")
    sources: list[ClipSource] = []
    segment: OpenSegment | None = None
    for packet in source.packets():
        if not packet.size or packet.dts is None or packet.pts is None:
            continue
        ns = source.ticks_to_ns(packet.dts)
        media = to_media_packet(packet, t_ns=ns, pts_ns=source.ticks_to_ns(packet.pts), dts_ns=ns)
        if segment is None or segment.should_rotate(media, SEGMENT_S):
            if segment is not None:
                segment.finish()
            name = SegmentName(
                counter=len(sources) + 1,
                boot="00000000",
                begin_ms=ns // 1_000_000,
                utc=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000),
                synced=True,
            )
            segment = OpenSegment(folder, name, source.info, SystemClock(), 60.0, sealer)
            sources.append(ClipSource(path=folder / str(name), begin_ns=name.begin_ms * 1_000_000))
        segment.add(media)
    assert segment is not None
    segment.finish()
    source.close()
    return sources


def clip_with_ffmpeg(sources: list[ClipSource], out: Path) -> float:
    """Cut the same span with ffmpeg's concat. Return its CPU seconds."""
    in_span = [s for s in sources if BEGIN_S - SEGMENT_S < s.begin_ns / SECOND_NS < END_S]
    list_file = out.with_suffix(".txt")
    list_file.write_text("".join(f"file '{source.path}'\n" for source in in_span), encoding="utf-8")
    begin_s = BEGIN_S - in_span[0].begin_ns / SECOND_NS
    command = ["ffmpeg", "-v", "error", "-y", "-nostdin", "-f", "concat", "-safe", "0"]
    command += ["-ss", f"{begin_s:.3f}", "-i", str(list_file), "-t", str(END_S - BEGIN_S)]
    command += ["-c", "copy", "-movflags", "+faststart", str(out)]
    before = cpu_s(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    return cpu_s(resource.RUSAGE_CHILDREN) - before


def rows() -> list[Row]:
    """Return the rows of the table."""
    keys = KeyRing(1000)
    public = encode_public_key(X25519PrivateKey.generate().public_key())
    centre = Recipient(id="centre", public_key=public)
    sealer = Sealer.from_config([centre], box="bench", camera="bench", key_ring=keys)
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name, one_core():
        folder = Path(name)
        write_short_video(folder / "short.ts")
        write_looped_video(folder / "short.ts", folder / "video.ts")
        plain = record(folder / "video.ts", folder / "plain", None)
        sealed = record(folder / "video.ts", folder / "sealed", sealer)
        span = BEGIN_S * SECOND_NS, END_S * SECOND_NS

        def clip_work(sources: list[ClipSource]) -> Work:
            def work() -> None:
                clip = write_clip(sources, *span, folder / "clip.mp4", keys.get)
                assert clip.duration_ns >= 20 * SECOND_NS

            return work

        works: dict[str, Work] = {
            "plain": clip_work(plain),
            "sealed": clip_work(sealed),
            "ffmpeg": lambda: clip_with_ffmpeg(plain, folder / "peer.mp4"),
        }
        turns = run_in_turns(works, TURNS)
    note = "20 s of 1080p25 at 4 Mbit/s, durable on the disk"
    peer = f"{turns.ms('ffmpeg', 1):.0f} ms, the whole process"
    return [
        Row(name="clip, CPU", value=turns.ms("plain", 1), unit="ms", target="-", note=note),
        Row(name="clip of sealed footage, CPU", value=turns.ms("sealed", 1), unit="ms", target="-"),
        Row(
            name="clip / ffmpeg concat",
            value=turns.ratio("plain", "ffmpeg"),
            unit="ratio",
            target="<= 0.2",
            note=peer,
        ),
        Row(
            name="sealed clip / ffmpeg concat",
            value=turns.ratio("sealed", "ffmpeg"),
            unit="ratio",
            target="<= 0.2",
            note="ffmpeg's from plain footage",
        ),
    ]


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(
            f"{line.name:32} {line.value:8.3f} {line.unit:6} {line.target:8} {line.note}\n"
        )
