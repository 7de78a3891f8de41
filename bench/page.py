"""The page at the pole: processor time and memory of its processes while a phone looks, and of none while it is off.

A replayed camera of 1920x1080 in a real agent, the page's unit and its act server, and a phone that asks for the
picture five times a second over TLS, one connection for all. Run: `python -m bench page`.
"""

import http.client
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import box, videos
from bench.cpu import process_cpu_s, resident_mb
from bench.mosquitto import running_mosquitto
from bench.processes import running_process
from bench.table import Row
from tests.whole.pole_page_box import Phone, PolePageBox, make_root

PICTURES_PER_S = 5
SETTLE_S, LOOK_S = 5.0, 20.0
START_TIMEOUT_S = 60.0
OK = 200


def rows() -> list[Row]:
    """Return the rows of the table. Raises: RuntimeError if no picture came."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        folder = Path(name)
        with running_mosquitto(folder) as broker:
            config = box.write_config(
                folder / "box",
                box.CameraSetup(
                    video=videos.video_path(videos.MAIN),
                    sub=videos.video_path(videos.SUB),
                    loop=True,
                ),
                broker,
            )
            (config.parent / "vigie.toml").symlink_to(config.name)
            page = PolePageBox(config.parent, make_root(folder / "root"))
            try:
                with running_process(
                    (sys.executable, "-m", "agent", "run", "--config", config)
                ) as agent_pid:
                    return _measure(page, agent_pid)
            finally:
                page.close()


def _measure(page: PolePageBox, agent_pid: int) -> list[Row]:
    agent_alone_s, _, _ = _spend({"agent": agent_pid}, lambda: time.sleep(LOOK_S))["agent"]
    page.turn_on()
    service, act_server = page.unit.process, page.switch._act_server  # noqa: SLF001 - its process
    if service is None or act_server is None:
        raise RuntimeError("the page does not run")
    pids = {"agent": agent_pid, "service": service.pid, "acts": act_server.pid}
    phone = page.logged_in_phone()
    _wait_for_picture(phone)
    connection = _connect(phone)
    idle = _spend(pids, lambda: time.sleep(SETTLE_S))
    sizes: list[int] = []
    looked = _spend(pids, lambda: sizes.extend(_look(phone, connection)))
    share = {name: 100 * cpu_s / wall_s for name, (cpu_s, wall_s, _) in looked.items()}
    resting = sum(100 * idle[name][0] / idle[name][1] for name in ("service", "acts"))
    return [
        Row(
            name="page on, no phone looks",
            value=resting,
            unit="% of a core",
            target="-",
            note="its two processes; while it is off there is none",
        ),
        Row(
            name="page, 5 pictures a second: web process",
            value=share["service"],
            unit="% of a core",
            target="-",
            note=f"{looked['service'][2]:.0f} MB resident; {len(sizes) / LOOK_S:.1f} pictures/s of "
            f"{sum(sizes) / len(sizes) / 1000:.0f} kB",
        ),
        Row(
            name="page, 5 pictures a second: act server",
            value=share["acts"],
            unit="% of a core",
            target="-",
            note=f"{looked['acts'][2]:.0f} MB resident",
        ),
        Row(
            name="page, 5 pictures a second: more of the agent",
            value=share["agent"] - 100 * agent_alone_s / LOOK_S,
            unit="% of a core",
            target="-",
            note="it encodes the pictures",
        ),
    ]


def _spend(
    pids: dict[str, int], work: Callable[[], object]
) -> dict[str, tuple[float, float, float]]:
    """Return for each process its CPU seconds during some work, the time that it took, and its memory."""
    begin_s = time.monotonic()
    before = {name: process_cpu_s(pid) for name, pid in pids.items()}
    work()
    wall_s = time.monotonic() - begin_s
    return {
        name: (process_cpu_s(pid) - before[name], wall_s, resident_mb(pid))
        for name, pid in pids.items()
    }


def _connect(phone: Phone) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(phone.host, phone.port)
    connection.sock = phone.connect()
    return connection


def _ask(phone: Phone, connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    headers = {
        "Host": phone.authority,
        "Origin": f"https://{phone.authority}",
        "Cookie": phone.cookie,
        "Content-Type": "application/json",
    }
    body = msgspec.json.encode({"camera": box.CAMERA})
    connection.request("POST", "/api/acts/picture", body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def _wait_for_picture(phone: Phone) -> None:
    """Wait until the agent shows the camera. Raises: RuntimeError if it does not."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while (reply := phone.act("picture", {"camera": box.CAMERA})).status != OK:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"no picture within {START_TIMEOUT_S:g} s: {reply.body!r}")
        time.sleep(1.0)


def _look(phone: Phone, connection: http.client.HTTPConnection) -> list[int]:
    """Ask for pictures at the page's pace, and return their sizes. Raises: RuntimeError."""
    sizes: list[int] = []
    begin_s = time.monotonic()
    for number in range(int(LOOK_S * PICTURES_PER_S)):
        status, picture = _ask(phone, connection)
        if status != OK:
            raise RuntimeError(f"picture {number}: {status}: {picture!r}")
        sizes.append(len(picture))
        time.sleep(max(0.0, begin_s + (number + 1) / PICTURES_PER_S - time.monotonic()))
    return sizes
