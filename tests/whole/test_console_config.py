"""A configuration changed at the console stays if it is confirmed, and is rolled back otherwise: the
console may be killed meanwhile, the agent too, and the box may lose its power.
"""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.base.clock import boot_id
from agent.config.commit_confirm import MAX_STARTS, CommitConfirm, PendingCommit
from agent.config.desired_store import ConfigLayer, Decision, DesiredStore
from agent.recording.custody.receipts import ServiceAction, parse_line
from centre.client import ReceivedMessage
from tests.whole.rig import AgentBox, RunningCentre
from tests.whole.technician import ConsoleTechnician, make_box_folder, write_console_secret

WRONG = "mqtt://127.0.0.1:1"
WHOLE_PICTURE = "[[mask]]\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n"
DEAD = """
# Who this is.
[box]
id = "casa-0001"
site = "Bd Mohammed V"   # as the sign says
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
options = {}
"""

Sit = Callable[[Path], ConsoleTechnician]


@pytest.fixture
def sit() -> Iterator[Sit]:
    """Sits down at consoles, and leaves them."""
    sitting: list[ConsoleTechnician] = []

    def down(folder: Path) -> ConsoleTechnician:
        sitting.append(ConsoleTechnician(folder))
        sitting[-1].log_in()
        return sitting[-1]

    yield down
    for technician in sitting:
        technician.unplug()


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    return make_box_folder(tmp_path / "box", DEAD)


@pytest.fixture
def alive(box: AgentBox, centre: RunningCentre) -> AgentBox:
    assert centre
    write_console_secret(box.folder)
    box.start()
    return box


def serviced(folder: Path) -> list[str]:
    lines = [
        line
        for file in sorted((folder / "state" / "custody").glob("*.chain"))
        for line in file.read_bytes().splitlines()
    ]
    bodies = [parse_line(line).receipt.body for line in lines]
    return [f"{body.by}: {body.action}" for body in bodies if isinstance(body, ServiceAction)]


def text(folder: Path) -> str:
    return (folder / "vigie.toml").read_text()


def time_is_over(folder: Path) -> None:
    """As if the minutes had passed."""
    _change(folder, until_ns=0)


def power_was_cut(folder: Path) -> None:
    """As if the box had booted since."""
    _change(folder, boot_id="another boot")


def _change(folder: Path, **fields: object) -> None:
    file = folder / "vigie.toml.pending"
    standing = msgspec.json.decode(file.read_bytes(), type=PendingCommit)
    aside = file.with_name("aside")
    aside.write_bytes(msgspec.json.encode(msgspec.structs.replace(standing, **fields)))
    aside.replace(file)


def test_a_change_is_checked_tried_confirmed_and_recorded(dead: Path, sit: Sit) -> None:
    seat = sit(dead)
    assert "box.site" in seat.run_command("config set")
    told = seat.run_command('config set box.site "Place Maarif"')
    assert "box.site: Bd Mohammed V -> Place Maarif" in told
    assert "The agent does not run just now." in told
    assert text(dead) == DEAD.replace("Bd Mohammed V", "Place Maarif")
    assert "ON TRIAL by amina: box.site." in seat.run_command("config")
    assert "Place Maarif" in seat.run_command("logout")
    assert "ON TRIAL by amina: box.site." in sit(dead).run_command("config")
    seat.answer_challenge("brahim")
    assert "Kept: box.site." in seat.run_command("config confirm")
    assert CommitConfirm(dead / "vigie.toml").pending() is None
    assert (dead / "vigie.toml.before").read_text() == DEAD
    done = serviced(dead)
    assert "amina: config set box.site Place Maarif" in done
    assert "brahim: config confirm" in done


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("config set console.language de", "console.language = 'de'"),
        ("config set health.interval_s 0", "health.interval_s = 0"),
        ("config set broker.url http://x", "broker.url = 'http://x': not a broker's address"),
    ],
)
def test_a_change_that_the_agent_would_refuse_is_not_tried(
    dead: Path, sit: Sit, line: str, why: str
) -> None:
    said = " ".join(sit(dead).run_command(line).split())
    assert why in said
    assert "vigie.toml.new" not in said
    assert sorted(path.name for path in dead.glob("vigie*")) == ["vigie.toml"]
    assert text(dead) == DEAD


def test_with_the_agent_dead_the_console_rolls_the_change_back_and_reports_it(
    dead: Path, sit: Sit
) -> None:
    seat = sit(dead)
    seat.run_command("config set box.site x")
    time_is_over(dead)
    seat.read_until_seen(
        "box.site: not confirmed in time; the configuration is the previous one again."
    )
    assert text(dead) == DEAD
    assert (
        "amina: config set box.site: not confirmed in time; the configuration is the previous one again"
        in serviced(dead)
    )


def test_a_console_without_a_login_rolls_a_change_back_too(dead: Path, sit: Sit) -> None:
    seat = sit(dead)
    seat.run_command("config set box.site x")
    seat.run_command("logout")
    power_was_cut(dead)
    seat.wait_for(lambda: text(dead) == DEAD)
    assert "not confirmed" not in seat.run_command("help")


def test_the_agent_rolls_a_wrong_broker_back_after_the_console_was_killed(
    alive: AgentBox, centre: RunningCentre, sit: Sit
) -> None:
    right = text(alive.folder)
    seat = sit(alive.folder)
    assert "The agent restarts with it now." in seat.run_command(f"config set broker.url {WRONG}")
    assert alive.wait_for_exit() == 0
    alive.start()
    assert WRONG in text(alive.folder)
    seat.process.kill()
    time_is_over(alive.folder)
    assert alive.wait_for_exit() == 0
    assert text(alive.folder) == right
    heard = len(centre.wait_for(lambda _heard: True, "anything"))
    alive.start()
    centre.wait_for(lambda now: _lives(now[heard:]), "the box at the right broker")
    assert (
        "amina: config set broker.url: not confirmed in time; the configuration is the previous one again"
        in serviced(alive.folder)
    )


def _lives(heard: list[ReceivedMessage]) -> bool:
    return any("health" in str(item) for item in heard)


def test_after_a_reboot_the_agent_starts_with_the_previous_configuration(
    alive: AgentBox, sit: Sit
) -> None:
    right = text(alive.folder)
    seat = sit(alive.folder)
    seat.run_command(f"config set broker.url {WRONG}")
    seat.process.kill()
    assert alive.wait_for_exit() == 0
    power_was_cut(alive.folder)
    alive.start()
    assert text(alive.folder) == right
    assert "not confirmed in time" in alive.log


def test_an_agent_that_crashes_on_a_change_gets_the_previous_configuration_within_seconds(
    alive: AgentBox, sit: Sit
) -> None:
    right = text(alive.folder)
    seat = sit(alive.folder)
    seat.run_command(f"config set broker.url {WRONG}")
    assert alive.wait_for_exit() == 0
    for _ in range(MAX_STARTS):
        alive.start()
        assert WRONG in text(alive.folder)
        alive.stop(signal.SIGKILL)
    alive.start()
    assert text(alive.folder) == right
    seat.read_until_seen("broker.url: ")


def test_the_console_tries_the_new_broker_at_once_and_the_old_one_after_an_undo(
    alive: AgentBox, sit: Sit
) -> None:
    seat = sit(alive.folder)
    seat.run_command(f"config set broker.url {WRONG}")
    assert alive.wait_for_exit() == 0
    alive.start()
    # Without the code until the agent has noticed it.
    assert re.search(r"FAIL (NET-01 )?TCP", seat.run_command("net"))
    assert "Undone: broker.url;" in seat.run_command("config undo")
    assert alive.wait_for_exit() == 0
    alive.start()
    assert "pass TCP" in seat.run_command("net")


def test_a_version_of_the_centre_is_reset_while_the_agent_runs(
    box: AgentBox, centre: RunningCentre, sit: Sit
) -> None:
    assert centre
    write_console_secret(box.folder)
    store = DesiredStore(box.folder / "state")
    layer = ConfigLayer(version=900, digest="d", by="brahim", scenes={"north": WHOLE_PICTURE})
    store.begin(layer, "scenes.north", "brahim", boot_id(), 2**62)
    store.confirm(0, boot_id())
    store.write_decision(Decision(version=900, digest="d"))
    box.start()
    seat = sit(box.folder)
    assert "version 900 by brahim" in seat.run_command("config reset", "and press enter: ")
    said = seat.run_command("casa-0001")
    assert "The box's own file alone is in force." in said
    assert "The agent restarts with it now." in said
    assert box.wait_for_exit() == 0
    box.start()
    assert store.layer() == ConfigLayer()
    assert box.stop(signal.SIGTERM) == 0
    assert serviced(box.folder)[-1] == "amina: config reset confirmed: version 900"
