"""drivers.onvif and its cameras: discovery, queries, adoption, and every way in which these fail."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.base.model import Event
from agent.capture.onvif_events import OnvifEventStage
from agent.capture.reader_fault import ReaderFault
from agent.faults.registry import FaultRegistry
from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import OnvifAccess
from drivers.onvif.discovery import discover
from drivers.onvif.events import open_event_feed
from drivers.ptz import onvif
from tests.contracts.conftest import boottime_ns
from tests.contracts.event_camera import (
    CROSSED_NOTIFICATION,
    motion_notification,
    running_event_camera,
)
from tests.contracts.onvif_peer import (
    PASSWORD,
    URL,
    USER,
    OnvifCameraProcess,
    running_onvif_camera,
    search_until_found,
    write_password_file,
)
from tests.contracts.own_network import CAMERA

ETH_P_IP = 0x0800  # linux/if_ether.h
DISCOVERY_PORT = 3702


@pytest.fixture
def peer() -> Iterator[OnvifCameraProcess]:
    with running_onvif_camera() as peer:
        yield peer


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def client(
    folder: Path, url: str = URL, password: str | None = PASSWORD, timeout_s: float = 20.0
) -> OnvifClient:
    known = password is not None
    access = OnvifAccess(
        url=url,
        username=USER if known else None,
        password_file=write_password_file(folder, password) if password is not None else None,
        timeout_s=timeout_s,
    )
    return OnvifClient("camera 'tram'", access)


def refusal(requested: OnvifClient) -> DriverError:
    try:
        with pytest.raises(DriverError) as caught:
            requested.has_service("devicemgmt")
    finally:
        requested.close()
    return caught.value


@pytest.mark.usefixtures("peer")
def test_a_camera_is_adopted_with_its_largest_stream_and_a_small_one(tmp_path: Path) -> None:
    requested = client(tmp_path)
    try:
        adopted = requested.read_camera_info()
    finally:
        requested.close()
    assert (adopted.name, adopted.maker, adopted.model) == (
        "tram-14-front",
        "Alstom",
        "VirtualCam-1",
    )
    assert adopted.stream_url == f"rtsp://{CAMERA}:8554/video_main"
    assert (adopted.record.width_px, adopted.record.height_px) == (1920, 1080)
    assert adopted.detect_url == f"rtsp://{CAMERA}:8554/video_sub"
    assert adopted.snapshot_url == f"{URL}/snapshot.jpg"
    assert (adopted.has_ptz, adopted.has_events, adopted.topics) == (True, False, ())


def test_a_camera_without_a_head_has_events_and_one_stream() -> None:
    with running_event_camera() as camera:
        requested = OnvifClient("camera 'bank'", OnvifAccess(url=camera.url))
        try:
            adopted = requested.read_camera_info()
        finally:
            requested.close()
    assert adopted.name == "Dome 3"
    assert adopted.stream_url == "rtsp://127.0.0.1:554/p1?x=1", "its password is left out"
    assert (adopted.detect, adopted.detect_url, adopted.snapshot_url) == (None, None, None)
    assert (adopted.has_ptz, adopted.has_events) == (False, True)
    assert adopted.topics == ("RuleEngine/LineDetector/Crossed", "VideoSource/MotionAlarm")


def test_a_camera_without_a_stream_that_can_be_used_is_refused() -> None:
    with running_event_camera(codec="JPEG") as camera:
        requested = OnvifClient("camera 'bank'", OnvifAccess(url=camera.url))
        try:
            with pytest.raises(DriverError, match=r"no stream in H.264 .* there: JPEG 1280x720"):
                requested.read_camera_info()
        finally:
            requested.close()


@pytest.mark.usefixtures("peer")
def test_a_wrong_password_is_named_as_such_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "not the one"
    error = refusal(client(tmp_path, password=wrong))
    assert error.kind == "protocol"
    assert str(error) == f"camera 'tram': {URL}: refuses the password of user 'vigie'"
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    assert all(wrong not in f"{one!r}{one}" for one in chain)
    assert wrong not in caplog.text
    assert wrong not in capfd.readouterr().err, "the child's log"
    nobody = refusal(client(tmp_path, password=None))
    assert (nobody.kind, str(nobody)) == (
        "protocol",
        f"camera 'tram': {URL}: wants a user and a password",
    )


def test_a_returned_camera_is_queried_again(peer: OnvifCameraProcess, tmp_path: Path) -> None:
    requested = client(tmp_path)
    try:
        assert requested.read_camera_info().maker == "Alstom"
        peer.kill()
        with pytest.raises(DriverError) as caught:
            requested.read_camera_info()
        assert caught.value.kind == "absent"
        peer.start()
        assert requested.read_camera_info().maker == "Alstom"
        assert requested.has_service("ptz")
        assert not requested.has_service("events")
    finally:
        requested.close()


@pytest.mark.usefixtures("peer")
@pytest.mark.parametrize(
    "url",
    [
        f"http://{CAMERA}:81",
        "http://10.77.0.99",  # no host on the link answers
        "http://192.0.2.1",  # no route (RFC 5737)
        "http://nobody.invalid",  # no such name (RFC 2606)
    ],
)
def test_an_unreachable_host_is_absent(tmp_path: Path, url: str) -> None:
    assert refusal(client(tmp_path, url)).kind == "absent"


def test_a_silent_host_is_given_up_in_time(tmp_path: Path, silent_port: int) -> None:
    error = refusal(client(tmp_path, f"http://127.0.0.1:{silent_port}", timeout_s=0.5))
    assert error.kind == "timeout"
    assert str(error).endswith("no answer within 1.5 s")


def test_a_host_with_another_protocol_is_not_a_camera(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split()[5]
        error = refusal(client(tmp_path, f"http://127.0.0.1:{port}"))
        server.kill()
    assert error.kind == "protocol"


def test_a_closed_client_raises_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    requested = client(tmp_path)
    requested.close()
    requested.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(DriverError, match="closed") as caught:
        requested.has_service("devicemgmt")
    assert caught.value.kind == "closed"


def test_closing_a_waiting_client_wakes_its_caller(tmp_path: Path, silent_port: int) -> None:
    requested = client(tmp_path, f"http://127.0.0.1:{silent_port}", timeout_s=20)
    errors: list[DriverError] = []

    def waits() -> None:
        try:
            requested.has_service("devicemgmt")
        except DriverError as error:
            errors.append(error)

    waiting = threading.Thread(target=waits)
    waiting.start()
    requested.close()
    waiting.join(60)
    assert [error.kind for error in errors] == ["closed"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_password_file_readable_by_others_is_not_used(tmp_path: Path, mode: int) -> None:
    path = write_password_file(tmp_path, mode=mode)
    with pytest.raises(DriverError, match=rf"mode 0{mode:o}: others may read it") as caught:
        OnvifClient("camera 'tram'", OnvifAccess(url=URL, username=USER, password_file=path))
    assert PASSWORD not in str(caught.value)


def test_a_camera_without_ptz_has_no_head() -> None:
    with (
        running_event_camera() as camera,
        pytest.raises(DriverError, match="it has no head") as caught,
    ):
        onvif.open_ptz("bank", onvif.Options(url=camera.url), boottime_ns)
    assert caught.value.kind == "unsupported"


@pytest.mark.usefixtures("peer")
def test_a_head_with_normalized_positions_must_declare_its_range(tmp_path: Path) -> None:
    options = onvif.Options(url=URL, username=USER, password_file=write_password_file(tmp_path))
    with pytest.raises(DriverError, match="give pan_max_deg_s and tilt_max_deg_s") as caught:
        onvif.open_ptz("tram", options, boottime_ns)
    assert caught.value.kind == "unsupported"


@pytest.mark.usefixtures("peer")
def test_cameras_of_the_subnet_are_found() -> None:
    (found,) = search_until_found()
    assert (found.url, found.name) == (URL, "tram-14-front")
    assert found.id.startswith("urn:uuid:")


@pytest.mark.usefixtures("peer")
def test_discovery_uses_the_chosen_interface_only() -> None:
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)) as street,
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)) as yard,
    ):
        street.bind(("street-end", ETH_P_IP))
        yard.bind(("yard-end", ETH_P_IP))
        (found,) = search_until_found("street")
        assert found.url == URL
        assert probes(street)
        assert not probes(yard)


@pytest.mark.usefixtures("peer")
def test_an_unknown_interface_is_named() -> None:
    with pytest.raises(DriverError, match=r"interface 'eth7': not there; allowed: street, yard"):
        discover(0.5, "eth7")


def probes(ear: socket.socket) -> int:
    """The number of WS-Discovery datagrams that an interface has received."""
    count = 0
    ear.setblocking(False)
    while True:
        try:
            packet = ear.recv(65_536)
        except BlockingIOError:
            return count
        header = (packet[0] & 0x0F) * 4
        count += int.from_bytes(packet[header + 2 : header + 4], "big") == DISCOVERY_PORT


def test_notifications_of_a_camera_are_pulled_and_returned() -> None:
    with running_event_camera() as camera:
        feed = open_event_feed("camera 'bank'", OnvifAccess(url=camera.url))
        try:
            camera.messages.put(motion_notification("true", "Initialized") + CROSSED_NOTIFICATION)
            first, second = feed.pull(5, 7)
            assert feed.pull(1, 8) == ()
            camera.messages.put(motion_notification("false"))
            (third,) = feed.pull(5, 9)
        finally:
            feed.close()
        assert camera.operations[-1] == "Unsubscribe"
    assert (first.topic, first.state, first.source) == ("VideoSource/MotionAlarm", True, "Source=1")
    assert (second.topic, second.state) == ("RuleEngine/LineDetector/Crossed", None)
    assert second.source.endswith("Rule=MyImportantFence1")
    assert (third.state, third.t_ns) == (False, 9)


def test_a_lost_subscription_is_renewed() -> None:
    with running_event_camera() as camera:
        received: list[Event] = []
        ids = iter("abc")
        stage = OnvifEventStage(
            "bank",
            ["MotionAlarm"],
            lambda: open_event_feed("camera 'bank'", OnvifAccess(url=camera.url)),
            boottime_ns,
            lambda _t_ns: next(ids),
            received.append,
            ReaderFault("bank", FaultRegistry(boottime_ns), boottime_ns),
        )
        camera.messages.put(motion_notification("true"))
        stage.run_once(threading.Event())
        camera.has_forgotten_subscriptions = True
        with pytest.raises(DriverError) as caught:
            stage.run_once(threading.Event())
        assert caught.value.kind == "unsupported"
        camera.messages.put(
            motion_notification("true", "Initialized") + motion_notification("false")
        )
        stage.run_once(threading.Event())
        stage.close()
    assert camera.subscriptions == 2
    assert [(one.event, one.phase, one.name) for one in received] == [
        ("a", "begin", "MotionAlarm"),
        ("a", "end", "MotionAlarm"),
    ]


@pytest.mark.usefixtures("peer")
def test_a_camera_without_events_has_no_event_feed(tmp_path: Path) -> None:
    access = OnvifAccess(url=URL, username=USER, password_file=write_password_file(tmp_path))
    with pytest.raises(DriverError, match="it has no events") as caught:
        open_event_feed("camera 'tram'", access)
    assert caught.value.kind == "unsupported"
