"""Encrypted recording killed at random moments: the private key loses the last group at most, and
the restarted box can decrypt nothing of its earlier footage.
"""

import hashlib
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import pytest

from agent.recording.encryption.key_wrapping import unwrap_segment_key
from agent.recording.encryption.keys import KeyRing, generate_key_pair, read_private_key
from agent.recording.export.clip import ClipError, ClipSource, write_clip
from agent.recording.recovery import recover_folder
from agent.recording.segment_name import KEYS_SUFFIX
from tests.faults.test_record_kill import FRAMES, GOP, encode, pictures

KILLS = 12

RECORDER = """
    import random, sys, threading
    from pathlib import Path
    from agent.base.clock import SystemClock
    from agent.config.recording import RecordConfig, Recipient
    from agent.faults.registry import FaultRegistry
    from agent.runtime.queues import PacketQueue
    from agent.recording.encryption.keys import KeyRing
    from agent.recording.record_stage import RecordStage
    from agent.recording.encryption.key_wrapping import Sealer
    from drivers.camera.replay import Options, open_camera
    from agent.recording.segment_writer import SegmentTarget
    from drivers.contracts import StreamRequest
    from tests.recording_rig import retention_alone

    video, footage, public_key, seed, most = sys.argv[1:]
    clock = SystemClock()
    queue = PacketQueue(1 << 26, lambda *_: None)
    settings, faults = RecordConfig(segment_s=1.0, flush_s=0.0), FaultRegistry(clock.boottime_ns)
    sealer = Sealer.from_config(
        [Recipient(id="centre", public_key=public_key)],
        box="box", camera="north", key_ring=KeyRing(10),
    )
    retention = retention_alone("north", Path(footage), settings, clock, faults)
    stage = RecordStage(
        SegmentTarget("north", Path(footage), settings, retention, sealer=sealer), queue, clock,
        faults, on_gap=lambda *_: None, on_segment=lambda _: None,
    )
    camera = open_camera(
        "video", Options(path=video, pace="fast", loop=True),
        StreamRequest(packets=True, frames_fps=0), clock.boottime_ns,
    )
    stage.on_stream_opened(camera.info)
    no_wait = threading.Event()
    no_wait.set()
    rng = random.Random(int(seed))
    taken = 0
    while taken < int(most):
        for _ in range(rng.randrange(1, 6)):
            queue.put(camera.read(1.0))
            taken += 1
        stage.run_once(no_wait)
        print(taken, flush=True)
    stage.close()
"""


def command(video: Path, footage: Path, public_key: str, seed: int, most: int) -> list[str]:
    script = [sys.executable, "-c", textwrap.dedent(RECORDER)]
    return [*script, str(video), str(footage), public_key, str(seed), str(most)]


def record_and_kill(arguments: list[str], after: int) -> int:
    """Kill the recorder once it has reported `after` packets; return how many it had reported."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        message = b""
        while not message.endswith(b"\n") or int(message.split(b"\n")[-2]) < after:
            ready, _, _ = select.select([child.stdout], [], [], 120)
            assert ready, "the recorder does not record"
            chunk = os.read(child.stdout.fileno(), 4096)
            assert chunk, "the recorder ended by itself"
            message += chunk
        child.send_signal(signal.SIGKILL)
        message += child.stdout.read()
    return int(message.split(b"\n")[-2])


def decrypted(path: Path, key: bytes) -> list[str]:
    with av.open(str(path), options={"decryption_key": key.hex()}) as container:
        return [
            hashlib.sha256(frame.to_ndarray(format="gray").tobytes()).hexdigest()
            for frame in container.decode(video=0)
        ]


@pytest.mark.slow
def test_a_killed_box_loses_the_last_group_at_most_and_forgets_its_keys(tmp_path: Path) -> None:
    video, north = tmp_path / "video.mp4", tmp_path / "footage" / "north"
    encode(video)
    public_key = generate_key_pair(tmp_path / "centre.pem")
    private_key = read_private_key(tmp_path / "centre.pem")
    one_loop = pictures(video)
    rng = random.Random(12)
    known: set[str] = set()
    for seed in range(KILLS):
        arguments = command(video, tmp_path / "footage", public_key, seed, 10**9)
        taken = record_and_kill(arguments, rng.randrange(1, 150))
        found = recover_folder(north)
        new = [segment.name for segment in found if str(segment.name) not in known]
        shown: list[str] = []
        sources = []
        for name in new:
            path = north / str(name)
            shown += decrypted(
                path, unwrap_segment_key(Path(f"{path}{KEYS_SUFFIX}"), private_key).key
            )
            sources.append(ClipSource(path=path, begin_ns=name.begin_ms * 1_000_000))
        assert len(shown) >= (taken - 1) // GOP * GOP
        assert shown == (one_loop * (len(shown) // FRAMES + 1))[: len(shown)]
        if sources:
            with pytest.raises(ClipError, match="its key is not available"):
                write_clip(sources, 0, 10**18, tmp_path / "clip.mp4", KeyRing(10).get)
        known |= {str(name) for name in new}
    files = {path.name for path in north.iterdir() if path.is_file()}
    assert files == known | {name + KEYS_SUFFIX for name in known}


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_byte_of_footage_is_written_before_its_keys_are_durable(tmp_path: Path) -> None:
    video, trace = tmp_path / "video.mp4", tmp_path / "trace"
    encode(video)
    public_key = generate_key_pair(tmp_path / "centre.pem")
    calls = "trace=openat,write,fsync,fdatasync,rename,close"
    watch = ["strace", "-f", "-y", "-s", "0", "-e", calls, "-o", str(trace)]
    arguments = command(video, tmp_path / "footage", public_key, 1, 60)
    subprocess.run([*watch, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=120)
    lines = [line for line in trace.read_text().splitlines() if "footage/north" in line]
    durable: set[str] = set()
    synced: set[str] = set()
    written = 0
    for line in lines:
        if match := re.search(r"fsync\(\d+<\S*/north/(\S+)\.keys>\) += 0", line):
            synced.add(match[1])
        elif re.search(r"fsync\(\d+<\S*/north>\) += 0", line):
            durable |= synced
        elif match := re.search(r"write\(\d+<\S*/north/(\S+)\.part>", line):
            assert match[1] in durable, line
            written += 1
    assert written > 3
    assert len(durable) > 3
