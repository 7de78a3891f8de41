"""The settings of a person at the centre: where they are, what they may have, and what overrides them."""

import argparse
from pathlib import Path

import pytest

from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from centre.cli.broker_arguments import add_broker, parse_broker
from centre.operator_settings import OperatorSettings, find_settings_file, load_settings

SETTINGS = """
[broker]
url = "mqtts://broker.example.org:8884"
ca = "ca.crt"
certificate = "amina.crt"
key = "amina.key"

[signer]
certificate = "amina.pem"
key = "/keys/amina-control.key"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of the person who runs the commands."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "vigie"
    folder.mkdir()
    (folder / "centre.toml").write_text(SETTINGS)
    (folder / "amina.key").write_text("key")
    (folder / "amina.key").chmod(0o600)
    return folder / "centre.toml"


def parse(*words: str) -> BrokerConfig:
    parser = argparse.ArgumentParser()
    add_broker(parser)
    return parse_broker(parser.parse_args(words), "vigie send")


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({}, None),
        ({"XDG_CONFIG_HOME": ""}, None),
        ({"XDG_CONFIG_HOME": "relative"}, None),
        ({"XDG_CONFIG_HOME": "/etc/amina"}, Path("/etc/amina")),
    ],
)
def test_they_are_in_the_configuration_folder_as_xdg_has_it(
    environment: dict[str, str], folder: Path | None
) -> None:
    expected = folder or Path.home() / ".config"
    assert find_settings_file(environment) == expected / "vigie" / "centre.toml"


def test_paths_begin_at_the_folder_of_the_file(file: Path) -> None:
    settings = load_settings(file)
    assert settings.broker is not None
    assert settings.signer is not None
    assert settings.broker.certificate == str(file.parent / "amina.crt")
    assert settings.signer.certificate == str(file.parent / "amina.pem")
    assert settings.signer.key == "/keys/amina-control.key"


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "centre.toml") == OperatorSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[broker]\n", "broker.url: missing; it has to be given"),
        ('[broker]\nurl = "mqtts://h"\nport = 1\n', "broker.port: unknown key; allowed: url, ca"),
        ("[broker]\nurl = 3\n", "broker.url = 3: allowed: a text"),
        ('[signer]\ncertificate = "a.pem"\n', "signer.key: missing; it has to be given"),
        ("[signr]\n", "signr: unknown key; allowed: broker, signer"),
        ("[broker\n", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(text: str, message: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_settings(file)
    assert str(caught.value).startswith(f"settings {str(file)!r}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_command_takes_broker_and_certificates_from_them(file: Path) -> None:
    broker = parse()
    assert broker.url == "mqtts://broker.example.org:8884"
    assert broker.ca == str(file.parent / "ca.crt")
    assert broker.certificate == str(file.parent / "amina.crt")
    assert broker.key == str(file.parent / "amina.key")


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--broker", "mqtts://other"), {"url": "mqtts://other"}),
        (("--ca", "new.crt"), {"ca": "new.crt"}),
        (
            ("--broker", "mqtt://127.0.0.1"),
            {"url": "mqtt://127.0.0.1", "ca": None, "certificate": None, "key": None},
        ),
    ],
)
def test_arguments_override_them_one_by_one(
    words: tuple[str, ...], expected: dict[str, str | None]
) -> None:
    settings, broker = parse(), parse(*words)
    for name in ("url", "ca", "certificate", "key"):
        assert getattr(broker, name) == expected.get(name, getattr(settings, name))


def test_a_key_that_others_may_read_is_refused(file: Path) -> None:
    (file.parent / "amina.key").chmod(0o644)
    with pytest.raises(UserError, match=r"amina\.key': mode 644; allowed: 600 or 640"):
        parse()


def test_without_a_broker_the_command_says_where_one_may_be_named(file: Path) -> None:
    file.unlink()
    with pytest.raises(UserError) as caught:
        parse()
    assert str(caught.value) == (
        f"vigie send: --broker: missing; allowed: --broker URL, or [broker] in {file}"
    )
