"""Clips and decrypted segments in independent players that do not read through PyAV."""

import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from agent.recording.encryption.keys import KeyRing
from agent.recording.export.unseal import unseal
from agent.recording.segment_name import KEYS_SUFFIX
from tests.whole.test_clip import STREAMS, record, whole
from tests.whole.test_encryption import Centre, sealer_for
from tests.whole.test_record_stage import FPS, encode, packets_of

PAUSE_S = 3.0
PICTURES = 95

PAGE = """
    <body><script>
    const moments = [7.25, 1.05, 12.4];
    async function told(file) {
      const video = document.createElement('video');
      video.muted = true;
      video.preload = 'auto';
      document.body.append(video);
      await new Promise((resolve, reject) => {
        video.onloadeddata = resolve;
        video.onerror = () => reject(new Error(video.error.message));
        video.src = file;
      });
      const grey = [];
      for (const moment of moments.filter(m => m < video.duration)) {
        // Sought is not yet shown: a busy machine still has the picture before.
        const shown = new Promise(resolve => video.requestVideoFrameCallback(resolve));
        await new Promise(resolve => { video.onseeked = resolve; video.currentTime = moment; });
        await shown;
        const canvas = document.createElement('canvas');
        canvas.width = 160;
        canvas.height = 96;
        const picture = canvas.getContext('2d');
        picture.drawImage(video, 0, 0);
        const pixels = picture.getImageData(0, 0, 160, 96).data;
        let sum = 0;
        for (let at = 0; at < pixels.length; at += 4) sum += pixels[at];
        grey.push(sum / 160 / 96);
      }
      return [video.duration, video.videoWidth, video.videoHeight, grey];
    }
    (async () => {
      const all = [];
      for (const file of ['clip.mp4', 'unsealed.mp4'])
        all.push(await told(file).catch(error => String(error)));
      await fetch('REPLY', { method: 'POST', mode: 'no-cors', body: JSON.stringify(all) });
    })();
    </script></body>
"""

GSTREAMER = """
    import sys
    import gi
    gi.require_version("Gst", "1.0")
    from gi.repository import Gst
    Gst.init(None)
    line = f"filesrc location={sys.argv[1]} ! qtdemux ! fakesink name=out signal-handoffs=true"
    pipeline = Gst.parse_launch(line)
    times = []
    pipeline.get_by_name("out").connect("handoff", lambda sink, buffer, pad: times.append(buffer.pts))
    pipeline.set_state(Gst.State.PLAYING)
    kinds = Gst.MessageType.EOS | Gst.MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(20 * Gst.SECOND, kinds)
    assert message and message.type == Gst.MessageType.EOS, message
    times.sort()
    print(len(times), times[-1] - times[0], pipeline.query_duration(Gst.Format.TIME)[1])
    pipeline.set_state(Gst.State.NULL)
"""

HAS_GSTREAMER = (
    subprocess.run(
        ["/usr/bin/python3", "-c", "import gi; gi.require_version('Gst', '1.0')"],
        check=False,
        capture_output=True,
    ).returncode
    == 0
    if Path("/usr/bin/python3").exists()
    else False
)


@pytest.fixture(scope="module", params=["h264 with B-frames", "hevc"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with a pause in it, and a decrypted segment; both were encrypted."""
    place = tmp_path_factory.mktemp("played")
    suffix, codec, pix_fmt, options = STREAMS[request.param]
    stream = packets_of(encode(place / f"video{suffix}", codec, pix_fmt, options))
    centre, keys = Centre(place), KeyRing(100)
    sealer = sealer_for(centre.recipient, keys=keys)
    sources = record(place / "north", stream, sealer, pause_s=PAUSE_S)
    whole(sources, place / "clip.mp4", keys)
    sealed = sources[0].path
    unseal(sealed, Path(f"{sealed}{KEYS_SUFFIX}"), centre.key, place / "unsealed.mp4")
    return place


class Listener(http.server.BaseHTTPRequestHandler):
    """Receives the page's report."""

    received: ClassVar[queue.Queue[bytes]] = queue.Queue()

    def do_POST(self) -> None:
        self.received.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[str]:
    """Return the URL that the page may post to."""
    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("folder", ["h264 with B-frames"], indirect=True)
def test_chromium_plays_and_seeks(folder: Path, listener: str) -> None:
    page = folder / "page.html"
    page.write_text(textwrap.dedent(PAGE).replace("REPLY", listener))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    options += [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0"]
    with subprocess.Popen(
        ["chromium", *options, page.as_uri()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as browser:
        try:
            clip, unsealed = json.loads(Listener.received.get(timeout=90))
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
    assert clip[:3] == [pytest.approx(PICTURES / FPS + PAUSE_S, abs=0.01), 160, 96]
    assert unsealed[1:3] == [160, 96]
    # Each picture is a grey step lighter than the one before. The pause is before the 41st.
    assert clip[3] == pytest.approx([20 + 42, 20 + 10, 20 + 94], abs=2)
    assert unsealed[3] == pytest.approx([20 + 10], abs=2)


@pytest.mark.skipif(not HAS_GSTREAMER, reason="needs GStreamer's bindings for /usr/bin/python3")
def test_gstreamer_reads_every_picture_and_the_length(folder: Path) -> None:
    reported = [
        subprocess.run(
            ["/usr/bin/python3", "-c", textwrap.dedent(GSTREAMER), folder / name],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.split()
        for name in ("clip.mp4", "unsealed.mp4")
    ]
    clip, unsealed = ([int(number) for number in numbers] for numbers in reported)
    assert clip[0] == PICTURES
    assert clip[1] / 1e9 == pytest.approx((PICTURES - 1) / FPS + PAUSE_S, abs=0.01)
    assert clip[2] / 1e9 == pytest.approx(PICTURES / FPS + PAUSE_S, abs=0.01)
    assert unsealed[0] == 20
