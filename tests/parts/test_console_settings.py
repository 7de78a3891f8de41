"""Settings and logins of a console whose configuration is valid or not."""

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config.console_settings import ConsoleSettings, read
from agent.console.login import make_authenticator

GOOD = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
options = {}
"""
AMINA, SAID, OMAR = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(3))
"""Tokens."""


def settings(folder: Path, *technicians: tuple[str, Ed25519PrivateKey]) -> ConsoleSettings:
    text = GOOD
    for name, token in technicians:
        key = base64.b64encode(token.public_key().public_bytes_raw()).decode()
        text += f'[[console.technician]]\nid = "{name}"\npublic_key = "{key}"\n'
    file = folder / "vigie.toml"
    file.write_text(text)
    return read(file, {})


def opens(found: ConsoleSettings, name: str, token: Ed25519PrivateKey) -> bool:
    gate, _ = make_authenticator(found)
    challenge = gate.issue_challenge(name)
    return gate.verify_token(base64.b64encode(token.sign(challenge.message)).decode())


def test_a_state_folder_that_is_not_text_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "vigie.toml"
    file.write_text(GOOD.replace('id = "casa-0001"', 'id = "casa-0001"\nstate = 5'))
    assert read(file, {}).state_dir == Path("/var/lib/vigie")
    assert read(file, {"STATE_DIRECTORY": "/somewhere"}).state_dir == Path("/somewhere")


def test_each_technicians_token_opens_their_own_login_only(tmp_path: Path) -> None:
    found = settings(tmp_path, ("amina", AMINA), ("said", SAID))
    assert found.config is not None
    assert opens(found, "amina", AMINA)
    assert opens(found, "said", SAID)
    assert not opens(found, "amina", SAID)


def test_a_duplicated_technician_is_disabled_and_the_others_log_in(tmp_path: Path) -> None:
    found = settings(tmp_path, ("amina", AMINA), ("omar", OMAR), ("amina", SAID))
    assert found.config is None
    assert not opens(found, "amina", AMINA)
    assert not opens(found, "amina", SAID)
    assert opens(found, "omar", OMAR)
