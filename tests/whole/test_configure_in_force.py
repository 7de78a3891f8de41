"""`vigie configure`: the version in force is shown, merged, and not dropped unseen, over a real broker."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.__main__ import main
from agent.base.clock import boot_id
from agent.config.broker import BrokerConfig
from agent.config.desired_config import MAX_MESSAGE_BYTES, content_digest
from agent.config.desired_store import (
    MAX_RESTARTS,
    WINDOW_S,
    ConfigLayer,
    DesiredStore,
    VersionRestarts,
)
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient, wait_until
from tests.whole.rig import CLOCK, TIMEOUT_S, AgentBox
from tests.whole.test_desired_config import BOX, DRAWN, Centre

Configure = Callable[..., int]
AREA = "[[ignore]]\npolygon = [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]]\n"
"""One person may drop it."""
SAME = "[settings.record]\nmax_age_h = 72\n"
"""The default value, which is in force: the agent needs no restart."""


@pytest.fixture
def pole(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[AgentBox]:
    """A box without a control authority that detects nothing, and files of versions."""
    box = AgentBox(tmp_path / "box", mosquitto.url, DRAWN, detect_fps=1)
    file = box.folder / "vigie.toml"
    text = file.read_text().replace('scene = "scene.toml"', "enabled = false")
    file.write_text(f'{text}[[camera]]\nname = "south"\n{DRAWN}[camera.detect]\nenabled = false\n')
    (tmp_path / "area.toml").write_text(AREA)
    (tmp_path / "age.toml").write_text(SAME)
    box.start()
    yield box
    box.kill()


@pytest.fixture
def configure(mosquitto: Mosquitto) -> Configure:
    def run(*words: str) -> int:
        return main(["configure", BOX, *words, "--by", "amina", "--broker", mosquitto.url])

    return run


def in_force(box: AgentBox) -> ConfigLayer:
    return DesiredStore(box.folder / "state").layer()


def draw_an_area(configure: Configure, folder: Path) -> None:
    assert configure("--scene", f"north={folder / 'area.toml'}") == 0


def test_a_version_that_would_drop_a_scene_is_not_published_unasked(
    pole: AgentBox, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_an_area(configure, tmp_path)
    assert configure(str(tmp_path / "age.toml")) == 2
    *lines, refusal = capsys.readouterr().err.splitlines()
    assert lines[-2:] == ["- scenes.north = 1 ignored area", "+ record.max_age_h = 72"]
    assert refusal == (
        "vigie: configure: it drops 1 of what is in force (scenes.north = 1 ignored area); "
        "allowed: with --yes, at a terminal, or with --merge, which keeps them"
    )
    assert in_force(pole).scenes == {"north": AREA}
    assert configure(str(tmp_path / "age.toml"), "--yes") == 0
    assert (in_force(pole).scenes, in_force(pole).settings) == ({}, {"record": {"max_age_h": 72}})


def test_at_a_terminal_it_is_asked_about(
    pole: AgentBox, configure: Configure, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    draw_an_area(configure, tmp_path)
    program = [sys.executable, "-m", "agent", "configure", BOX, str(tmp_path / "age.toml")]
    for answer, code, kept in ((b"n\n", 2, True), (b"y\n", 0, False)):
        master, slave = pty.openpty()
        try:
            done = subprocess.Popen(
                [*program, "--by", "amina", "--broker", mosquitto.url],
                stdin=slave,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            os.write(master, answer)
            assert done.wait(TIMEOUT_S) == code
        finally:
            os.close(master)
            os.close(slave)
        assert ("north" in in_force(pole).scenes) is kept


def test_a_merge_keeps_what_it_does_not_name(
    pole: AgentBox, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_an_area(configure, tmp_path)
    assert configure(str(tmp_path / "age.toml"), "--merge") == 0
    layer = in_force(pole)
    assert layer.scenes == {"north": AREA}
    assert layer.settings == {"record": {"max_age_h": 72}}
    assert "+ record.max_age_h = 72\n" in capsys.readouterr().err


def test_what_is_shown_can_be_published_again(
    pole: AgentBox, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_an_area(configure, tmp_path)
    assert configure(str(tmp_path / "age.toml"), "--merge") == 0
    before = in_force(pole)
    capsys.readouterr()
    assert configure("--show") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"# {BOX}: version {before.version}, since 20")
    assert AREA in shown
    (tmp_path / "shown.toml").write_text(shown)
    assert configure(str(tmp_path / "shown.toml")) == 0
    after = in_force(pole)
    assert after.version == before.version + 1
    assert content_digest(after) == content_digest(before)
    assert pole.stop(signal.SIGTERM) == 0, "it did not restart"


def retained_version(mosquitto: Mosquitto) -> bytes | None:
    """The message that the broker has for the box."""
    reader = BareClient(BrokerConfig(url=mosquitto.url), "reader")
    reader.link.subscribe([topics.down_topic(BOX, "config"), topics.up_topic(BOX, "config")])
    received = reader.wait_for(ReceivedPublish)
    reader.link.abort()
    assert isinstance(received, ReceivedPublish)
    return received.payload if received.topic.endswith("down/config") else None


def test_the_version_in_force_is_shown_while_the_retained_message_is_a_refused_one(
    pole: AgentBox,
    configure: Configure,
    tmp_path: Path,
    mosquitto: Mosquitto,
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw_an_area(configure, tmp_path)
    centre = Centre(mosquitto.url)
    centre.send(2, settings={"broker": {"url": "mqtt://x"}})
    while (refused := centre.wait_for_report("in_force", 1).refused) is None:
        pass
    assert refused.version == 2
    centre.link.abort()
    capsys.readouterr()
    assert configure("--show") == 0
    shown = capsys.readouterr().out
    assert AREA in shown
    assert "mqtt://x" not in shown
    assert in_force(pole).scenes == {"north": AREA}


def test_a_refused_version_does_not_stay_at_the_broker(
    pole: AgentBox,
    configure: Configure,
    tmp_path: Path,
    mosquitto: Mosquitto,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "wrong.toml").write_text('[settings.broker]\nurl = "mqtt://x"\n')
    assert configure(str(tmp_path / "wrong.toml"), "--yes") == 1
    assert "the broker has the version in force again" in capsys.readouterr().err
    assert retained_version(mosquitto) is None, "no version was in force"
    draw_an_area(configure, tmp_path)
    in_force_message = retained_version(mosquitto)
    assert in_force_message is not None
    assert configure(str(tmp_path / "wrong.toml"), "--yes") == 1
    assert "the broker has the version in force again" in capsys.readouterr().err
    assert retained_version(mosquitto) == in_force_message
    assert in_force(pole).scenes == {"north": AREA}
    # The broker has another message than that in force, which takes no one's place.
    other = BareClient(BrokerConfig(url=mosquitto.url), "other")
    other.publish(topics.down_topic(BOX, "config"), b"{}", retained=True)
    other.link.abort()
    assert configure(str(tmp_path / "wrong.toml"), "--yes") == 1
    assert "the refused version stays at the broker" in capsys.readouterr().err


def test_a_version_of_another_person_is_not_replaced_when_ones_own_is_refused(
    pole: AgentBox, configure: Configure, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """It is put in force between what is shown and what is published."""
    draw_an_area(configure, tmp_path)
    program = [sys.executable, "-m", "agent", "configure", BOX, str(tmp_path / "age.toml")]
    master, slave = pty.openpty()
    centre = Centre(mosquitto.url)
    try:
        with subprocess.Popen(
            [*program, "--by", "amina", "--broker", mosquitto.url],
            stdin=slave,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as asking:
            assert asking.stderr is not None
            assert asking.stderr.readline() == "- scenes.north = 1 ignored area\n"
            centre.send(2, scenes={"north": AREA}, settings={"record": {"max_age_h": 72}})
            centre.wait_for_report("in_force", 2)
            os.write(master, b"y\n")
            said = asking.stderr.read()
        assert asking.returncode == 1
    finally:
        centre.link.abort()
        os.close(master)
        os.close(slave)
    assert said.endswith(
        f"{BOX}: the broker has the version in force again, in the place of the refused one\n"
    )
    assert in_force(pole).version == 2
    kept = retained_version(mosquitto)
    assert kept is not None
    assert msgspec.json.decode(kept)["settings"] == {"record": {"max_age_h": 72}}


def test_a_version_that_another_person_publishes_after_a_refused_one_is_left(
    pole: AgentBox, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    (tmp_path / "wrong.toml").write_text('[settings.broker]\nurl = "mqtt://x"\n')
    centre = Centre(mosquitto.url)
    centre.link.subscribe([topics.down_topic(BOX, "config")])
    centre.wait_for_report("in_force", 0)
    os.kill(pole.pid, signal.SIGSTOP)
    program = [sys.executable, "-m", "agent", "configure", BOX, str(tmp_path / "wrong.toml")]
    with subprocess.Popen(
        [*program, "--yes", "--by", "amina", "--broker", mosquitto.url],
        stderr=subprocess.PIPE,
        text=True,
    ) as publishing:
        while centre.wait_for(ReceivedPublish).topic != topics.down_topic(BOX, "config"):
            pass
        # It reads the refusal once the other version is there.
        publishing.send_signal(signal.SIGSTOP)
        os.kill(pole.pid, signal.SIGCONT)
        while centre.wait_for_report("in_force", 0).refused is None:
            pass
        centre.send(2, scenes={"north": AREA})
        publishing.send_signal(signal.SIGCONT)
        assert publishing.stderr is not None
        said = publishing.stderr.read()
    assert publishing.returncode == 1
    assert said.endswith(
        f"{BOX}: another version has taken the place of the refused one at the broker, and was left there\n"
    )
    centre.link.abort()
    kept = retained_version(mosquitto)
    assert kept is not None
    assert msgspec.json.decode(kept)["version"] == 2


def test_a_number_that_the_box_has_decided_about_does_not_replace_the_retained_version(
    pole: AgentBox,
    configure: Configure,
    tmp_path: Path,
    mosquitto: Mosquitto,
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw_an_area(configure, tmp_path)
    assert configure(str(tmp_path / "age.toml"), "--yes", "--number", "1") == 2
    assert "version 1: 1 was decided already; allowed: more than 1" in capsys.readouterr().err
    assert b"ignore" in (retained_version(mosquitto) or b"")
    assert in_force(pole).scenes == {"north": AREA}


def test_a_version_of_the_largest_size_is_shown_and_merged(
    pole: AgentBox, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = AREA + "".join(f"# {number:04} {'.' * 90}\n" for number in range(650))
    assert 0.95 * MAX_MESSAGE_BYTES < 2 * len(large) < MAX_MESSAGE_BYTES
    (tmp_path / "large.toml").write_text(large)
    file = tmp_path / "large.toml"
    assert configure("--scene", f"north={file}", "--scene", f"south={file}") == 0
    capsys.readouterr()
    assert configure("--show") == 0
    assert capsys.readouterr().out.count(large) == 2
    assert configure(str(tmp_path / "age.toml"), "--merge") == 0
    assert in_force(pole).scenes == {"north": large, "south": large}


def test_a_version_that_waits_for_a_restart_is_named_with_its_time_and_waited_for(
    pole: AgentBox, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    store = DesiredStore(pole.folder / "state")

    def write_restarts(age_s: int) -> None:
        then_ns = CLOCK.boottime_ns() - age_s * 10**9
        store.write_restarts(VersionRestarts(boot=boot_id(), times_ns=(then_ns,) * MAX_RESTARTS))

    write_restarts(age_s=0)
    version = tmp_path / "health.toml"
    version.write_text("[settings.health]\ninterval_s = 20\n")
    words = ["configure", BOX, str(version), "--by", "amina", "--broker", mosquitto.url]
    shown = tmp_path / "shown"
    with shown.open("wb") as stderr:
        configure = subprocess.Popen([sys.executable, "-m", "agent", *words], stderr=stderr)
    wait_until(lambda: "version 1: waits until 20" in shown.read_text())
    assert pole.stop(signal.SIGTERM) == 0
    write_restarts(age_s=WINDOW_S)
    pole.start()
    assert pole.wait_for_exit() == 0
    pole.start()
    assert configure.wait(TIMEOUT_S) == 0
    assert "version 1: in force\n" in shown.read_text()


def test_the_version_in_force_is_shown_and_guarded_while_the_box_is_away(
    pole: AgentBox, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_an_area(configure, tmp_path)
    assert pole.stop(signal.SIGTERM) == 0
    capsys.readouterr()
    assert configure("--show") == 0
    assert AREA in capsys.readouterr().out
    assert configure(str(tmp_path / "age.toml")) == 2
    assert (
        "it drops 1 of what is in force (scenes.north = 1 ignored area)" in capsys.readouterr().err
    )


def test_of_a_box_that_has_reported_nothing_a_version_is_published_unseen_only_if_one_says_so(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "age.toml").write_text(SAME)
    version = (str(tmp_path / "age.toml"), "--number", "1")
    for words in (("--show",), (*version, "--merge"), version):
        person = ("--by", "amina", "--broker", mosquitto.url)
        assert main(["configure", BOX, *words, *person]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"vigie: {BOX}: the version in force cannot be read: it has reported no configuration; "
        "allowed: with --yes, whatever it drops"
    )


def test_a_broker_that_hides_what_is_in_force_has_the_version_refused(
    pole: AgentBox,
    configure: Configure,
    mosquitto: Mosquitto,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw_an_area(configure, tmp_path)
    topic = topics.up_topic(BOX, "config/content")
    liar = BareClient(BrokerConfig(url=mosquitto.url), "liar")
    liar.link.subscribe([topic])
    received = liar.wait_for(ReceivedPublish)
    assert isinstance(received, ReceivedPublish)
    message = msgspec.json.decode(received.payload)
    assert message["data"]["content"]["scenes"] == {"north": AREA}
    message["data"]["content"] = {}
    liar.publish(topic, msgspec.json.encode(message), retained=True)
    liar.link.abort()
    capsys.readouterr()
    assert configure(str(tmp_path / "age.toml")) == 1
    shown = capsys.readouterr().err
    assert "- scenes.north" not in shown, "the broker has hidden it"
    assert "other content is in force; allowed: made from it" in shown
    assert in_force(pole).scenes == {"north": AREA}


def test_a_version_that_no_longer_fits_the_boxs_file_is_shown_and_not_dropped_unasked(
    pole: AgentBox,
    configure: Configure,
    mosquitto: Mosquitto,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw_an_area(configure, tmp_path)
    assert pole.stop(signal.SIGTERM) == 0
    file = pole.folder / "vigie.toml"
    file.write_text(file.read_text().replace('name = "north"', 'name = "east"'))
    pole.start()
    centre = Centre(mosquitto.url)
    centre.wait_for_report("in_force", 0)
    centre.link.abort()
    capsys.readouterr()
    assert configure("--show") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        f"# {BOX}: version 1, not in force: it does not fit the file of the box\n"
    )
    assert AREA in shown
    assert configure(str(tmp_path / "age.toml")) == 2
    assert (
        "it drops 1 of what is in force (scenes.north = 1 ignored area)" in capsys.readouterr().err
    )
    assert configure(str(tmp_path / "age.toml"), "--yes") == 0
