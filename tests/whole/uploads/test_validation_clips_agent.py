"""A running box that has recorded is asked for validation clips, and sends them to a real server."""

import hashlib
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from agent.base.model import CommandDone
from agent.clips.upload_replies import ValidationClipsResult
from agent.config.broker import BrokerConfig
from agent.reporting.payloads import OnlineStatus, StatusMessage
from centre.client import ReceivedMessage
from tests.whole.command_box import CommandOperator
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, RunningCentre, fake_camera_toml
from tests.whole.test_footage_while_recording import wait_for_segments
from tests.whole.uploads.upload_servers import UploadServers

BOX = "casa-0001"
SEGMENTS = 9
"""Of a second each: more than the clip of five seconds, as the light is known from the first minute of counts on."""
END = """
[record]
segment_s = 1.0
[link]
upload_hosts = ["localhost"]
ca = "{ca}"
rate_kbit_s = 4000
bytes_per_day = 50_000_000
metered = true
"""


def is_online_again(received: list[ReceivedMessage]) -> bool:
    statuses = [one.message.data for one in received if isinstance(one.message, StatusMessage)]
    return sum(isinstance(status, OnlineStatus) for status in statuses) > 1


def test_a_box_draws_from_its_footage_by_the_light_that_it_has_measured(
    mosquitto: Mosquitto, centre: RunningCentre, servers: UploadServers, tmp_path: Path
) -> None:
    box = AgentBox(tmp_path / "box", mosquitto.url, fake_camera_toml("fps = 5\n"))
    config, state = box.folder / "vigie.toml", box.folder / "state"
    config.write_text(config.read_text() + END.format(ca=servers.ca))
    try:
        box.start()
        wait_for_segments(state, SEGMENTS)
        # The end of a run ends the minute, and stores its light.
        assert box.stop(signal.SIGTERM) == 0
        box.start()
        centre.wait_for(is_online_again, "second birth")
        operator = CommandOperator(BrokerConfig(url=mosquitto.url), "amina", BOX)
        now = datetime.now(UTC)
        args = {
            "camera": "north",
            "begin": (now - timedelta(hours=12)).isoformat(),
            "end": (now + timedelta(hours=1)).isoformat(),
            "clips_per_light": 1,
            "length_s": 5,
            "purpose": "validation 2026-11",
            "uploads": [{"kind": "put", "url": servers.presign("PUT", key)} for key in ("a", "b")],
        }
        reply = operator.run_command(args, "draw", verb="validation_clips")
        operator.link.abort()
        assert isinstance(reply, CommandDone), reply
        assert box.stop(signal.SIGTERM) == 0
    finally:
        box.kill()
    result = msgspec.json.decode(reply.result, type=ValidationClipsResult)
    (clip,) = result.clips
    assert (clip.id, clip.light, clip.failure) == ("draw.0", "day", None)
    assert result.footage_s["night"] == 0
    content = servers.get_object("a")
    assert (clip.sha256, clip.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    chain = b"".join(path.read_bytes() for path in sorted((state / "custody").glob("*.chain")))
    assert f"validation clips drawn with seed {result.seed}: day ".encode() in chain
    assert f"validation 2026-11: light sent to localhost, SHA-256 {clip.sha256}".encode() in chain
    assert chain.count(b'"by":"amina"') == 2
