"""`vigie send`: from the keys of a new authority to the reply of a box, over a real broker."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from agent.__main__ import main
from agent.authority.control_authority import ControlAuthority
from agent.base.model import CommandDone, Reply
from agent.config.broker import BrokerConfig
from agent.reporting.centre_payloads import CentreStateName
from agent.reporting.centre_topics import centre_state_topic
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.payloads import ReplyMessage
from agent.reporting.topics import down_topic
from centre import control_keys
from centre.command_exchange import CommandExchange
from centre.signing import sign_centre_state
from tests.whole.command_box import BOX, CommandBox
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK
from tests.whole.report.reporting_box import BareClient, take_over, wait_until

Send = Callable[..., int]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a control authority, and the keys of two supervisors and a viewer."""
    assert main(["key", "authority", str(tmp_path / "control"), "Casablanca"]) == 0
    for name, role in (
        *(("amina", "supervisor"), ("jonas", "supervisor"), ("salma", "viewer")),
        ("city", "centre"),
    ):
        file = str(tmp_path / name)
        assert main(["key", "request", name, "--key", f"{file}.key"]) == 0
        issue = ["key", "issue", str(tmp_path / "control"), f"{file}.csr", "--role", role]
        assert main([*issue, "--name", name, "--out", f"{file}.pem"]) == 0
    return tmp_path


def signer(keys: Path, name: str) -> list[str]:
    return ["--signer", str(keys / f"{name}.pem"), "--signer-key", str(keys / f"{name}.key")]


@pytest.fixture
def box(keys: Path, mosquitto: Mosquitto) -> Iterator[CommandBox]:
    """A box with the authority, whose clock is not trusted: it obeys commands for its present session alone."""
    state = keys / "box"
    state.mkdir()
    authority = ControlAuthority.load(keys / "control" / "control-ca.pem", state, CLOCK)
    with CommandBox(state, BrokerConfig(url=mosquitto.url), authority=authority) as box:
        yield box


@pytest.fixture
def listening_box(keys: Path, box: CommandBox, mosquitto: Mosquitto) -> CommandBox:
    """The same, with a centre that listens: without one it keeps its replies."""
    announce(mosquitto, keys, "listening")
    hold_replies(box, is_held=False)
    return box


@pytest.fixture
def send(mosquitto: Mosquitto) -> Send:
    """`vigie send` to the box, with the broker's address."""
    return lambda *words: main(["send", BOX, *words, "--broker", mosquitto.url, "--timeout", "60"])


@pytest.mark.usefixtures("listening_box")
def test_a_signed_command_is_done_and_its_result_printed(
    keys: Path, send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("ptz", "do=acquire", "head=mast", "lease_s=60", *signer(keys, "amina")) == 0
    lease = msgspec.json.decode(capsys.readouterr().out)["lease"]
    assert lease["by"].startswith("amina")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("ptz", "do=acquire", "head=mast"), "forbidden"),
        (("ptz", "do=acquire", "head=pole"), "forbidden"),
        (("dance",), "no such command"),
    ],
)
@pytest.mark.usefixtures("listening_box")
def test_a_refusal_is_one_line_and_exit_code_1(
    words: tuple[str, ...],
    problem: str,
    keys: Path,
    send: Send,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert send(*words, *signer(keys, "salma")) == 1
    errors = capsys.readouterr().err
    assert problem in errors
    assert errors.count("\n") == 1


@pytest.mark.usefixtures("listening_box")
def test_a_command_without_a_signature_is_refused(
    send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("ptz", "do=list", "--by", "amina") == 1
    assert "unauthenticated" in capsys.readouterr().err


@pytest.mark.usefixtures("listening_box")
def test_a_second_person_signs_a_saved_command_and_sends_it(
    keys: Path, send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = str(keys / "request.jws")
    assert send("ptz", "do=acquire", "head=mast", *signer(keys, "amina"), "--save", saved) == 0
    countersign = ("ptz", "--countersign", saved, "--yes")
    assert send(*countersign, *signer(keys, "amina")) == 2
    assert "have a name that counts as one; allowed: of two people" in capsys.readouterr().err
    assert send(*countersign, *signer(keys, "jonas")) == 0
    printed = capsys.readouterr()
    assert '"do": "acquire"' in printed.err
    amina = control_keys.load_certificate(keys / "amina.pem")
    for shown in ("amina has signed:", "role    supervisor", f"serial  {amina.serial_number:x}"):
        assert shown in printed.err
    assert msgspec.json.decode(printed.out)["lease"]["by"].startswith("amina")


@pytest.mark.usefixtures("listening_box")
def test_a_saved_command_is_for_its_box_and_verb(
    keys: Path, send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = str(keys / "request.jws")
    assert send("ptz", "do=list", *signer(keys, "amina"), "--save", saved) == 0
    assert send("gpio", "--countersign", saved, *signer(keys, "jonas")) == 2
    assert f"is 'ptz' for '{BOX}'; allowed: that" in capsys.readouterr().err


def test_a_box_that_the_broker_does_not_know_is_named(
    keys: Path,
    mosquitto: Mosquitto,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("centre.command_exchange.BIRTH_TIMEOUT_S", 0.2)
    words = ["send", "pole-99", "ptz", "do=list", *signer(keys, "amina"), "--timeout", "0.5"]
    assert main([*words, "--broker", mosquitto.url]) == 2
    errors = capsys.readouterr().err
    assert "pole-99: the broker knows no box of this name" in errors
    assert "pole-99: no reply to ptz in 0.5 s" in errors


def hold_replies(box: CommandBox, *, is_held: bool) -> None:
    """Wait until the box keeps what it would send, or sends it."""

    def is_so() -> bool:
        connection = box.session and box.session.connection
        return connection is not None and (connection._centre.ack_mode == "hold") == is_held

    wait_until(is_so)


def announce(mosquitto: Mosquitto, keys: Path, state: CentreStateName) -> None:
    """Publish the signed state of a centre."""
    centre = control_keys.load_identity(keys / "city.pem", keys / "city.key")
    client = BareClient(BrokerConfig(url=mosquitto.url), "city")
    client.publish(centre_state_topic("city"), sign_centre_state(state, centre), retained=True)
    client.link.close()


@pytest.mark.parametrize("state", [None, "away"])
def test_without_a_centre_that_listens_it_says_so_at_once_and_does_not_wait_for_the_reply(
    state: CentreStateName | None,
    keys: Path,
    box: CommandBox,
    mosquitto: Mosquitto,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if state is not None:
        announce(mosquitto, keys, state)
    hold_replies(box, is_held=True)
    words = ["send", BOX, "ptz", "do=acquire", "head=mast", "lease_s=60", *signer(keys, "amina")]
    begin_ns = CLOCK.boottime_ns()
    assert main([*words, "--broker", mosquitto.url, "--timeout", "600"]) == 2
    assert (CLOCK.boottime_ns() - begin_ns) / 1e9 < 60
    (line,) = capsys.readouterr().err.splitlines()
    assert "ptz is sent, and no centre listens (vigie/v1/centre/+/state)" in line
    # It was done all the same, and the reply comes once a centre listens.
    announce(mosquitto, keys, "listening")
    hold_replies(box, is_held=False)
    assert main([*words, "--broker", mosquitto.url]) == 0


def test_a_reply_that_was_lost_with_the_session_is_collected_after_the_next_connection(
    mosquitto: Mosquitto,
) -> None:
    broker = BrokerConfig(url=mosquitto.url)
    rng = random.Random(7)
    client_id = f"vigie-send-{random.Random(7).getrandbits(32):08x}"
    box = BareClient(broker, BOX)
    box.link.subscribe([down_topic(BOX, "command/ptz")])
    box.wait_for(Suback)

    def send() -> list[Reply]:
        with closing(CommandExchange(broker, BOX, "one", rng, CLOCK.boottime_ns)) as exchange:
            exchange.read_status()
            return list(exchange.send("ptz", b"the command", 60, is_signed=False))

    with ThreadPoolExecutor(1) as pool:
        replies = pool.submit(send)
        first = box.wait_for(ReceivedPublish)
        # Another tool with its client id ends its session. The box's messages meanwhile are lost.
        take_over(broker, client_id).abort()
        second = box.wait_for(ReceivedPublish)
        assert isinstance(first, ReceivedPublish)
        assert isinstance(second, ReceivedPublish)
        assert second.payload == first.payload == b"the command"
        assert second.response_topic == first.response_topic
        done = CommandDone(command="one", verb="ptz", result=msgspec.Raw(b"{}"))
        reply = ReplyMessage(
            id="019ac1f4-0000-7000-8000-000000000000",
            box=BOX,
            epoch="019ac1f4-0000-7000-8000-000000000001",
            seq=1,
            boot="c0ffee00-0000-4000-8000-000000000000",
            time="2026-11-03T07:41:05.250Z",
            clock=CLOCK.trust(),
            data=done,
        )
        box.publish(first.response_topic or "", msgspec.json.encode(reply))
        assert [type(received) for received in replies.result(60)] == [CommandDone]
    box.link.close()
