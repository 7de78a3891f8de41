"""The key and the certificate that the box shows to its broker: given, kept, or made here.

Where the box makes its key, the agent gets a certificate that nobody has signed until the centre's is
there: it records and watches meanwhile, the broker refuses it, and the box says NET-04.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.base.errors import UserError
from agent.console.enrolment import FOLDER, REQUEST_KEY, Enrolment
from agent.console.results import ConsoleError
from agent.provisioning import pem
from agent.provisioning.atomic_folder import NewFile
from agent.provisioning.file_references import name_of
from agent.provisioning.settings import BoxSettings

_FROM = datetime(1970, 1, 1, tzinfo=UTC)
_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280, 4.1.2.5: no well-defined end. The clock of a first boot is worth nothing."""


class TlsCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """What is to lie beside the configuration. `names` are the files that belong to the pair, be they
    put or kept; `spends_request`: the key of the request that was out has its certificate now.
    """

    files: dict[str, NewFile] = {}
    names: frozenset[str] = frozenset()
    spends_request: bool = False
    notes: tuple[str, ...] = ()


def resolve_credentials(settings: BoxSettings, folder: Path, state: Path) -> TlsCredentials:
    """The pair that these settings ask for. Makes a key in the state folder where one is needed, and
    nothing else. Raises OSError.
    """
    broker = settings.config.broker
    key_name, name = name_of(broker.key or ""), name_of(broker.certificate or "")
    if key_name is None or name is None:
        return TlsCredentials()
    names = frozenset((key_name, name))
    given_key = settings.enclosed.secrets.get(key_name)
    given = settings.enclosed.files.get(name)
    if given_key and given:
        return TlsCredentials(
            files=_files(key_name, given_key.encode(), name, given.encode()), names=names
        )
    asked, kept = _read(state / FOLDER / REQUEST_KEY), _read(folder / key_name)
    notes: tuple[str, ...] = ()
    if given:
        for key in (asked, kept):
            if key is not None and _fits(key, given, settings.box):
                return TlsCredentials(
                    files=_files(key_name, key, name, given.encode()),
                    names=names,
                    spends_request=key is asked,
                )
        notes = (f"the certificate {name!r} is for another key than this box's, and is not used",)
    certificate = _read(folder / name)
    if kept and certificate and _fits(kept, certificate.decode(errors="replace"), settings.box):
        return TlsCredentials(names=names, notes=notes)
    request(state, settings.box)
    key = (state / FOLDER / REQUEST_KEY).read_bytes()
    return TlsCredentials(
        files=_files(key_name, key, name, _unsigned(key, settings.box)), names=names, notes=notes
    )


def request(state: Path, box: str) -> str:
    """The request that is out, or a new one. A key of it that is damaged is made anew. Raises OSError."""
    enrolment = Enrolment(state, box, None)
    try:
        return enrolment.request()
    except ConsoleError:
        return enrolment.request()


def request_out(state: Path, box: str) -> str | None:
    """The request that waits for its certificate; None where none does. Raises OSError."""
    return request(state, box) if (state / FOLDER / REQUEST_KEY).exists() else None


def spend_request(state: Path) -> None:
    """The request that was out is answered. Raises OSError."""
    (state / FOLDER / REQUEST_KEY).unlink(missing_ok=True)


def _files(key_name: str, key: bytes, name: str, certificate: bytes) -> dict[str, NewFile]:
    return {key_name: NewFile(data=key, mode=0o600), name: NewFile(data=certificate)}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _fits(key: bytes, certificate: str, box: str) -> bool:
    try:
        return pem.check_key(key, "") == pem.check_certificate(certificate, box, "")
    except UserError:
        return False


def _unsigned(pem_key: bytes, box: str) -> bytes:
    """A certificate that its own key has signed: good for nothing but to let the agent start."""
    key = serialization.load_pem_private_key(pem_key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"a key of {FOLDER} is no elliptic one")
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "waits for its certificate"),
            x509.NameAttribute(NameOID.COMMON_NAME, box),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
