"""The keyring of updates: an image that trusts the test authority says so, and one for boards is not built."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.base import update_keyring
from agent.base.errors import UserError
from agent.base.update_keyring import KEYRING_FILE, TEST_AUTHORITY
from images import image
from images.target import BuildTarget
from tests.conftest import ManualClock
from tests.parts.console_rig import CONFIG_TEXT, ConsoleRig

WARNING = str(update_keyring.TEST_AUTHORITY_WARNING)


def authority_pem(
    *names: str,
    key: ec.EllipticCurvePrivateKey | None = None,
    issuer: tuple[str, ec.EllipticCurvePrivateKey] | None = None,
) -> bytes:
    pem = b""
    for name in names:
        own_key = key or ec.generate_private_key(ec.SECP256R1())
        issuer_name, issuer_key = issuer or (name, own_key)
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            common_name(issuer_name),
            common_name(name),
            own_key.public_key(),
            1,
            now,
            now + timedelta(days=1),
        )
        pem += builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return pem


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def write_keyring(root: Path, pem: bytes) -> Path:
    path = root / KEYRING_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(pem)
    return path


@pytest.fixture
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


@pytest.mark.parametrize("names", [(TEST_AUTHORITY,), ("a city", TEST_AUTHORITY)])
def test_an_image_that_trusts_the_test_authority_says_so(
    rig: ConsoleRig, names: tuple[str, ...]
) -> None:
    write_keyring(rig.root, authority_pem(*names))
    assert update_keyring.trusts_test_authority(rig.root)
    assert f"16 FAIL updates: {WARNING}" in " ".join(rig.run_logged_in("check 16").split())
    assert f"Updates: {WARNING}" in " ".join(rig.run_logged_in("status").split())


def test_an_image_of_a_city_names_its_authority(rig: ConsoleRig) -> None:
    write_keyring(rig.root, authority_pem("a city"))
    assert not update_keyring.trusts_test_authority(rig.root)
    assert "16 pass updates: signed by a city" in rig.run_logged_in("check 16")
    assert "Updates:" not in rig.run_logged_in("status")


def test_a_system_without_an_image_has_no_keyring(rig: ConsoleRig) -> None:
    assert not update_keyring.trusts_test_authority(rig.root)
    assert "16  -   updates: this system was set up without an image" in (
        rig.run_logged_in("check 16")
    )
    assert "Updates:" not in rig.run_logged_in("status")


def rig_with_authorities(clock: ManualClock, folder: Path, pems: dict[str, bytes]) -> ConsoleRig:
    """A box with `broker.ca`, `control.ca` and the authority of updates."""
    folder.mkdir()
    for key in ("broker.ca", "control.ca"):
        (folder / key).write_bytes(pems.get(key) or authority_pem("others"))
    config_text = CONFIG_TEXT.replace(
        'url = "mqtt://127.0.0.1:1"',
        'url = "mqtts://127.0.0.1:1"\nca = "broker.ca"\n[control]\nca = "control.ca"',
    )
    rig = ConsoleRig(clock, folder, config_text=config_text)
    write_keyring(rig.root, pems["updates"])
    return rig


def test_an_authority_for_updates_alone_passes_the_check(
    clock: ManualClock, tmp_path: Path
) -> None:
    rig = rig_with_authorities(clock, tmp_path / "box", {"updates": authority_pem("a city")})
    assert "16 pass updates: signed by a city" in rig.run_logged_in("check 16")


@pytest.mark.parametrize("name", ["a city", "another name"])
@pytest.mark.parametrize("key", ["broker.ca", "control.ca"])
def test_the_check_fails_if_an_authority_of_updates_has_another_role(
    clock: ManualClock, tmp_path: Path, key: str, name: str
) -> None:
    own_key = ec.generate_private_key(ec.SECP256R1())
    pems = {
        "updates": authority_pem("first") + authority_pem("a city", key=own_key),
        key: authority_pem("first") + authority_pem(name, key=own_key),
    }
    reported = rig_with_authorities(clock, tmp_path / "box", pems).run_logged_in("check 16")
    expected = f"16 FAIL updates: the authority of updates a city has the key of one in {key}"
    assert expected in " ".join(reported.split())


@pytest.mark.parametrize("key", ["broker.ca", "control.ca"])
def test_the_check_fails_if_an_authority_of_updates_has_issued_one_of_another_role(
    clock: ManualClock, tmp_path: Path, key: str
) -> None:
    root_key = ec.generate_private_key(ec.SECP256R1())
    pems = {
        "updates": authority_pem("a city", key=root_key),
        key: authority_pem("boxes", issuer=("a city", root_key)),
    }
    rig = rig_with_authorities(clock, tmp_path / "box", pems)
    assert "16 FAIL updates: the authority of updates a city" in " ".join(
        rig.run_logged_in("check 16").split()
    )
    pems[key] = authority_pem("boxes", issuer=("a city", ec.generate_private_key(ec.SECP256R1())))
    rig = rig_with_authorities(clock, tmp_path / "other", pems)
    assert "16 pass updates" in rig.run_logged_in("check 16"), "of another city with this name"


@pytest.mark.parametrize("key", ["broker.ca", "control.ca"])
def test_an_authority_that_cannot_be_compared_fails_the_check(
    clock: ManualClock, tmp_path: Path, key: str
) -> None:
    pems = {"updates": authority_pem("a city"), key: b"no certificate"}
    rig = rig_with_authorities(clock, tmp_path / "box", pems)
    assert "16 FAIL updates" in rig.run_logged_in("check 16")


@pytest.mark.parametrize("content", [b"", b"no certificate", b"\xff" * 100])
def test_an_unreadable_keyring_fails_the_check_and_nothing_else(
    rig: ConsoleRig, content: bytes
) -> None:
    path = write_keyring(rig.root, content)
    with pytest.raises(UserError, match="not a certificate"):
        update_keyring.read_authorities(path)
    assert not update_keyring.trusts_test_authority(rig.root)
    assert "16 FAIL updates" in rig.run_logged_in("check 16")
    assert "Box casa-0001" in rig.run_logged_in("status")


@pytest.mark.parametrize("names", [(), (TEST_AUTHORITY,)])
def test_an_image_for_boards_is_not_built_with_the_test_authority(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    keyring = write_keyring(tmp_path, authority_pem(*names)) if names else None
    target = BuildTarget(profile="pi", architecture="arm64", version="1.0.0")
    with pytest.raises(SystemExit, match="KEYRING="):
        image.check_keyring(target, keyring)


def test_the_build_says_that_an_image_trusts_the_test_authority(tmp_path: Path) -> None:
    target = BuildTarget(profile="virt", architecture="amd64", version="1.0.0")
    for keyring in (None, write_keyring(tmp_path, authority_pem(TEST_AUTHORITY))):
        assert WARNING in str(image.check_keyring(target, keyring))
    city = write_keyring(tmp_path / "city", authority_pem("a city"))
    for one in (target, BuildTarget(profile="pi", architecture="arm64", version="1.0.0")):
        assert image.check_keyring(one, city) is None


def test_a_keyring_that_is_none_is_refused_before_the_build(tmp_path: Path) -> None:
    target = BuildTarget(profile="virt", architecture="amd64", version="1.0.0")
    with pytest.raises(SystemExit, match="not a certificate"):
        image.check_keyring(target, write_keyring(tmp_path, b"no certificate"))


def test_make_image_for_boards_without_a_keyring_ends_in_one_line() -> None:
    command = [sys.executable, "-m", "images", "build", "pi", "arm64"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "KEYRING=" in done.stderr
