"""`vigie bundle` of real boxes: a running one full of secrets, a dead one and a new one."""

import base64
import json
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from agent.__main__ import main
from agent.base import selftest_result
from agent.base.clock import boot_id
from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.base.model import SelfTestStep
from agent.base.selftest_result import SelfTestReport
from agent.diagnostics.support_bundle import builder
from agent.diagnostics.support_bundle.archive_format import MAX_TOTAL_BYTES, unpack
from agent.health import health_file
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import ServiceAction
from tests.whole.report.broker import Mosquitto, make_t61_certificate
from tests.whole.report.conftest import CLOCK
from tests.whole.rig import TIMEOUT_S, AgentBox

URL, FILE, CONSOLE, TYPO, QUERY, PERSON = (
    "tr0ub4dor-in-a-url",
    "hunter2-in-a-file",
    "JBSWY3DPEHPK3PXP",
    "correct-horse-typo",
    "t0ken-in-a-query",
    "Khadija El Idrissi",
)
CAMERA = f"""driver = "rtsp"
[camera.options]
url = "rtsp://admin:{URL}@127.0.0.1:1/main?token={QUERY}"
open_timeout_s = 1
[camera.institution]
owner = "The tram"
purpose = "Traffic"
viewers = ["{PERSON}"]
"""


def private_key() -> str:
    return (
        generate_private_key(SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def secrets_of(folder: Path, pem: str) -> list[str]:
    """All that must not get out: also the middle of each key."""
    own = (folder / "state" / "identity" / "box.key").read_text()
    return [
        *(URL, FILE, CONSOLE, TYPO, QUERY, PERSON),
        *(line for line in (pem + own).splitlines() if not line.startswith("-----")),
    ]


def test_no_planted_secret_of_a_running_box_is_in_its_bundle(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    folder = tmp_path / "box"
    box = AgentBox(folder, mosquitto.url, CAMERA)
    pem = private_key()
    (folder / "box.pem").write_text(pem)
    (folder / "broker.password").write_text(f"{FILE}\n")
    (folder / "console.secret").write_text(f"{CONSOLE}\n")
    state = folder / "state"
    box.start()
    try:
        end_s = time.monotonic() + TIMEOUT_S
        while (live := health_file.read(state / "run")) is None or not live.report.faults:
            assert time.monotonic() < end_s, box.log
            time.sleep(0.1)
        everything = " ".join(secrets_of(folder, pem))
        step = SelfTestStep(name="broker", ok=False, duration_ms=1.0, message=everything[:250])
        selftest_result.state_file(state).write(
            SelfTestReport(
                box="casa-0001",
                version="1",
                started="",
                took_s=1,
                ok=False,
                steps=(step,),
                delivery=f"refused: {FILE}",
            ),
        )
        identity = DeviceIdentity.load_or_create(state / "identity")
        custody = CustodyLog.open(state / "custody", "casa-0001", boot_id(), CLOCK, identity)
        custody.append(ServiceAction(by="amina", action="looked around"), CLOCK.boottime_ns())
        custody.append(ServiceAction(by="amina", action=f"typed {FILE}"), CLOCK.boottime_ns())
        text = (folder / "vigie.toml").read_text()
        (folder / "vigie.toml").write_text(
            text.replace(
                "[health]",
                f'username = "{PERSON}"\npassword_file = "broker.password"\nkey = "box.pem"\n'
                f'pasword = "{TYPO}"\n[console]\nsecret_file = "console.secret"\n[health]',
            )
        )
        journal = f"{box.log}\n{everything}\n{pem}\nopened rtsp://u:unknown-to-all@h/\n".encode()
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc" / "resolv.conf").write_text(f"nameserver 9.9.9.9\n# {CONSOLE}\n")
        bundle = builder.make_bundle(
            folder / "vigie.toml",
            tmp_path / "out",
            CLOCK,
            default_state_dir=state,
            root=root,
            read_journal=lambda: journal,
        )
    finally:
        box.stop(signal.SIGKILL)
    with bundle.path.open("rb") as file:
        files = unpack(file)
    assert {
        *("config.json", "health.json", "selftest.json", "faults.json", "flight.ndjson"),
        *("custody.chain", "disk.json", "network.txt", "system.txt", "journal.txt"),
    } <= files.keys()
    for secret in [*secrets_of(folder, pem), "unknown-to-all"]:
        for name, data in files.items():
            assert secret.encode() not in data, f"{secret} in {name}"
    assert b"looked around" in files["custody.chain"]
    assert b"typed" not in files["custody.chain"]
    config = json.loads(files["config.json"])
    assert config["camera"][0]["options"]["url"].startswith("rtsp://127.0.0.1:1/")
    assert config["broker"]["url"] == mosquitto.url
    assert b"nameserver 9.9.9.9" in files["network.txt"]
    faults = json.loads(files["faults.json"])
    assert [fault["code"] for fault in faults["active"]]
    assert bundle.size_bytes < MAX_TOTAL_BYTES
    assert bundle.path.stat().st_mode & 0o777 == 0o600


def make_bundle(config: Path, folder: Path) -> builder.SupportBundleResult:
    """Write a bundle of a box whose machine, journal and default state are in `folder`, to `out` in it."""
    return builder.make_bundle(
        config,
        folder / "out",
        CLOCK,
        default_state_dir=folder / "default",
        root=folder,
        read_journal=lambda: b"",
    )


def written(folder: Path, state: str = "state") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vigie.toml"
    path.write_text(
        f'[box]\nid = "pole-17"\nsite = "A street"\nstate = "{state}"\n'
        '[broker]\nurl = "mqtt://127.0.0.1:1"\n'
        '[[camera]]\nname = "north"\ndriver = "fake"\noptions = {}\n'
    )
    return path


def test_a_bundle_without_a_readable_configuration_is_written_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, state = tmp_path / "none.toml", tmp_path / "state"
    words = ["--config", str(config), "--state", str(state), "--out", str(tmp_path), "--json"]
    assert main(["bundle", *words]) == 1
    captured = capsys.readouterr()
    bundle = json.loads(captured.out)
    assert Path(bundle["path"]).is_file()
    assert bundle["config_error"] == f"{config}: No such file or directory"
    assert captured.err == f"vigie: {bundle['config_error']}: the bundle lacks the configuration\n"


def test_without_a_configuration_the_state_is_that_of_the_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = DeviceIdentity.load_or_create(tmp_path / "state" / "identity")
    words = ["--config", str(tmp_path / "none.toml"), "--state", str(tmp_path / "state")]
    assert main(["bundle", *words, "--out", str(tmp_path), "--json"]) == 1
    bundle = json.loads(capsys.readouterr().out)
    assert bundle["signed_by"] == base64.b64encode(identity.public_key_raw).decode()


def test_the_bundle_of_a_box_that_has_run_is_signed_and_verified_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path / "box")
    DeviceIdentity.load_or_create(tmp_path / "box" / "state" / "identity")
    assert main(["bundle", "--config", str(config), "--out", str(tmp_path), "--json"]) == 0
    bundle = json.loads(capsys.readouterr().out)
    key = bundle["signed_by"]
    assert main(["bundle", "verify", bundle["path"], "--public-key", key]) == 0
    assert f"{bundle['path']}: good: " in capsys.readouterr().out
    assert main(["bundle", "verify", bundle["path"]]) == 0
    assert f"{bundle['path']}: consistent, origin not verified: " in capsys.readouterr().out
    assert main(["bundle", "verify", bundle["path"], "--public-key", "A" * 43 + "="]) == 1
    assert "BROKEN" in capsys.readouterr().out
    assert {one["name"] for one in bundle["omitted"]} >= {"health.json", "flight.ndjson"}
    # The usual tools agree.
    with tarfile.open(bundle["path"]) as archive:
        archive.extractall(tmp_path / "x", filter="data")
    (folder,) = (tmp_path / "x").iterdir()
    subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=folder, check=True)


@pytest.mark.parametrize(
    "text",
    [
        "[box\n",
        "box = 1\n",
        '[box]\nid = "../x"\nstate = 3\n',
        "",
        f"a = {'9' * 5000}\n",
        f"a{'.a' * 5000} = 1\n",
    ],
)
def test_a_box_with_a_broken_configuration_or_without_state_still_has_a_bundle(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "vigie.toml"
    path.write_text(text)
    bundle = make_bundle(path, tmp_path)
    assert bundle.signed_by is None
    assert main(["bundle", "verify", str(bundle.path)]) == 0
    assert "vigie-bundle-unknown-" in bundle.path.name


def test_a_certificate_with_unreadable_names_is_listed_with_its_dates(tmp_path: Path) -> None:
    config = written(tmp_path / "box")
    file, _ = make_t61_certificate(tmp_path / "box")
    broker = f'url = "mqtts://127.0.0.1:1"\ncertificate = "{file.name}"\nkey = "t61.key"'
    config.write_text(config.read_text().replace('url = "mqtt://127.0.0.1:1"', broker))
    bundle = make_bundle(config, tmp_path)
    with bundle.path.open("rb") as opened:
        reported = json.loads(unpack(opened)["certificate.json"])
    assert (reported["subject"], reported["issuer"]) == (None, None)
    assert reported["not_before"] < reported["not_after"]


def test_read_errors_of_the_disk_are_listed_and_never_a_traceback(tmp_path: Path) -> None:
    config = written(tmp_path / "box")
    state = tmp_path / "box" / "state"
    state.mkdir()
    (state / "selftest.json").write_text("{")
    (state / "flight-recorder").write_bytes(b"\xff" * 9000)
    (state / "custody").mkdir()
    (state / "custody" / "0000000001.chain").mkdir()

    def refused() -> bytes:
        raise PermissionError(13, "Permission denied", "journalctl")

    bundle = builder.make_bundle(
        config,
        tmp_path / "out",
        CLOCK,
        default_state_dir=state,
        root=tmp_path,
        read_journal=refused,
    )
    reported = {one.name: one.reason for one in bundle.omitted}
    assert reported["journal.txt"] == "journalctl: Permission denied"
    assert "no valid page" in reported["flight.ndjson"]
    assert reported["custody.chain"].endswith("Is a directory")
    assert {"selftest.json", "health.json", "certificate.json"} <= reported.keys()


def test_an_unwritable_folder_is_named_in_one_line(tmp_path: Path) -> None:
    config = written(tmp_path / "box")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="--out"):
        make_bundle(config, tmp_path)
    assert main(["bundle"]) == 2
