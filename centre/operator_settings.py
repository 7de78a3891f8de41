"""Settings of a person at the centre: `vigie/centre.toml` in their configuration folder.

[broker]
url = "mqtts://broker.example.org:8884"
ca = "ca.crt"
certificate = "amina.crt"
key = "amina.key"

[signer]
certificate = "amina.pem"
key = "amina-control.key"

A relative path begins at the folder of the file. Arguments of a command override it.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.base import checked_convert
from agent.config import toml_decode


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[broker]`: its URL, and the files of a connection by TLS."""

    url: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class SignerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[signer]`: the person's control certificate and its key."""

    certificate: str
    key: str


class OperatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both tables; one that is missing is given by arguments."""

    broker: BrokerSettings | None = None
    signer: SignerSettings | None = None


def find_settings_file(environment: Mapping[str, str]) -> Path:
    """Return the path of the file, which need not exist. A relative XDG_CONFIG_HOME counts for nothing, as XDG has it."""
    folder = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():
        folder = Path.home() / ".config"
    return folder / "vigie" / "centre.toml"


def load_settings(file: Path) -> OperatorSettings:
    """Return the settings, without tables if there is no file. Raises: UserError that names the file and the key."""
    if not file.exists():
        return OperatorSettings()
    settings = checked_convert.convert(
        toml_decode.read_toml(file, "settings"), OperatorSettings, f"settings {str(file)!r}"
    )
    broker, signer = settings.broker, settings.signer
    if broker is not None:
        files = (broker.ca, broker.certificate, broker.key)
        ca, certificate, key = (name and str(file.parent / name) for name in files)
        broker = BrokerSettings(url=broker.url, ca=ca, certificate=certificate, key=key)
    if signer is not None:
        certificate, key = (str(file.parent / name) for name in (signer.certificate, signer.key))
        signer = SignerSettings(certificate=certificate, key=key)
    return OperatorSettings(broker=broker, signer=signer)
