"""`vigie key`: makes the control authority, certifies people and systems, revokes; and makes the broker's certificates."""

import argparse
import random
import re
import secrets
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from agent.authority.certificate import (
    MAX_CENTRE_LIFETIME,
    MAX_PERSON_LIFETIME,
    PERSON_LIFETIME,
)
from agent.base.clock import SystemClock, rfc3339
from agent.base.control_role import CONTROL_ROLES
from agent.base.errors import UserError
from agent.cli.arguments import number_parser
from agent.cli.output import parse_text
from agent.config.broker import BrokerConfig
from agent.config.names import ALLOWED_NAME, NAME_PATTERN
from agent.reporting import topics
from centre import control_keys, signing
from centre.broker_certificates import (
    LIFETIME,
    CertificateRequest,
    Owner,
    issue_certificates,
)
from centre.broker_connection import BrokerConnection
from centre.cli.broker_arguments import add_broker, parse_broker
from centre.publisher import OutgoingPublish

MAX_AUTHORITY_YEARS = 30.0
CENTRE_LIFETIME = timedelta(days=90)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")
_TLS_OWNERS: dict[Owner, tuple[str, str]] = {
    "broker": ("HOST", "the broker's name or address, as in its URL"),
    "box": ("ID", "a box"),
    "centre": ("NAME", "a centre"),
    "person": ("NAME", "a person, or a screen on the wall"),
}
# The owners of a certificate: the word for each name, and the help.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "The control authority certifies the people and systems whose signed commands a box obeys. "
        "Example: vigie key authority control 'Casablanca'; vigie key request amina --key amina.key; "
        "vigie key issue control amina.csr --name amina --role operator --out amina.pem"
    )
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)
    authority = subcommands.add_parser("authority", help="make a control authority")
    authority.add_argument("folder", metavar="FOLDER", type=Path, help="a new folder")
    authority.add_argument("name", metavar="NAME", help="name of the authority, such as the city")
    authority.add_argument(
        "--years",
        metavar="N",
        type=number_parser("--years", MAX_AUTHORITY_YEARS),
        default=10.0,
        help="validity (default: %(default)g)",
    )
    authority.set_defaults(run=_make_authority)
    request = subcommands.add_parser(
        "request", help="make one's key, which stays here, and the request for its certificate"
    )
    request.add_argument("name", metavar="NAME", help="name of the person or system")
    request.add_argument("--key", metavar="FILE", type=Path, required=True, help="the new key")
    request.set_defaults(run=_make_request)
    issue = subcommands.add_parser("issue", help="certify a request")
    issue.add_argument("folder", metavar="FOLDER", type=Path, help="the authority's folder")
    issue.add_argument("request", metavar="REQUEST", type=Path, help="FILE.csr of `key request`")
    issue.add_argument(
        "--name",
        metavar="NAME",
        required=True,
        help="name of the person or system, as the authority knows it; in place of the request's",
    )
    issue.add_argument("--role", choices=CONTROL_ROLES, required=True, help="what it may command")
    issue.add_argument(
        "--hours",
        metavar="N",
        type=number_parser("--hours", MAX_CENTRE_LIFETIME.total_seconds() / 3600),
        help=f"validity (default: {PERSON_LIFETIME.total_seconds() / 3600:g}, at most "
        f"{MAX_PERSON_LIFETIME.total_seconds() / 3600:g}; role centre: {CENTRE_LIFETIME.days} days)",
    )
    issue.add_argument("--out", metavar="FILE", type=Path, required=True, help="the certificate")
    issue.set_defaults(run=_issue)
    revoke = subcommands.add_parser(
        "revoke",
        help="revoke certificates, and publish the revocation list",
        description="Adds certificates to the revocation list, and publishes it, retained. Without a certificate "
        "the list is published again.",
    )
    revoke.add_argument("folder", metavar="FOLDER", type=Path, help="the authority's folder")
    revoke.add_argument(
        "revoked", metavar="CERTIFICATE", type=Path, nargs="*", help="a certificate's file"
    )
    add_broker(revoke)
    revoke.set_defaults(run=_revoke)
    tls = subcommands.add_parser(
        "tls",
        help="make the certificates of the broker and its clients",
        description="Makes the two authorities of the broker's connections, in a new folder, and certificates of "
        f"theirs with their keys, valid for {LIFETIME.days} days. It never overwrites a file. Example: vigie key tls tls "
        "--broker broker.example.org --box pole-17 --centre centre --person amina",
    )
    tls.add_argument("folder", metavar="FOLDER", type=Path, help="of the authorities")
    for owner, (word, help_text) in _TLS_OWNERS.items():
        tls.add_argument(
            f"--{owner}", metavar=word, action="append", default=[], help=f"{help_text}; repeatable"
        )
    tls.set_defaults(run=_make_tls)


def _make_authority(args: argparse.Namespace) -> int:
    name = parse_text(args.name, "NAME")
    lifetime = timedelta(days=args.years * 365)
    control_keys.create_authority(args.folder, name, lifetime, datetime.now(UTC), _new_serial())
    print(
        f"{args.folder}: a new control authority. {control_keys.CA_FILE} goes onto each box, as `ca` of its "
        f"[control]; {control_keys.CA_KEY_FILE} commands every box: keep it offline."
    )
    return 0


def _make_request(args: argparse.Namespace) -> int:
    name = control_keys.parse_signer_name(args.name, "NAME")
    request_file = args.key.with_suffix(".csr")
    public_key = control_keys.create_request(args.key, request_file, name)
    print(f"{args.key}: a new key, which stays here. {request_file} goes to the control authority.")
    print(f"  key     {control_keys.fingerprint(public_key)}")
    return 0


def _issue(args: argparse.Namespace) -> int:
    if args.hours is not None:
        lifetime = timedelta(hours=args.hours)
    else:
        lifetime = CENTRE_LIFETIME if args.role == "centre" else PERSON_LIFETIME
    request = control_keys.read_request(args.request)
    issued, same_person = control_keys.issue(
        args.folder,
        request,
        control_keys.parse_signer_name(args.name, "--name"),
        args.role,
        lifetime,
        datetime.now(UTC),
        _new_serial(),
    )
    pem = issued.certificate.public_bytes(Encoding.PEM)
    control_keys.write_new_file(args.out, pem, 0o644)
    print(f"{args.out}: certified")
    for line in control_keys.describe(issued):
        print(f"  {line}")
    if request.name != issued.name:
        print(f"  The request asked for the name {request.name!a}.")
    for other in same_person:
        print(
            f"  Another key has a certificate for {other.name!r} until {rfc3339(other.not_after)}: "
            "boxes take the two for one person."
        )
    return 0


def _revoke(args: argparse.Namespace) -> int:
    broker = parse_broker(args, "vigie key revoke")
    authority = control_keys.load_authority(args.folder)
    now = datetime.now(UTC)
    certificates = [control_keys.load_certificate(file) for file in args.revoked]
    revocations = control_keys.revoke(args.folder, certificates, now)
    serials = [entry.serial for entry in revocations.certificates]
    message = signing.sign_revocations(revocations.number, now, serials, authority)
    _publish(broker, message, f"revocation list {revocations.number}")
    print(
        f"revocation list {revocations.number}, certificates: {len(serials)}; published at {broker.url}"
    )
    return 0


def _make_tls(args: argparse.Namespace) -> int:
    requests = [
        _parse_certificate(owner, name) for owner in _TLS_OWNERS for name in getattr(args, owner)
    ]
    for file in issue_certificates(args.folder, requests, datetime.now(UTC)):
        print(f"{file}: certified; its key is {file.with_suffix('.key').name}")
    return 0


def _parse_certificate(owner: Owner, name: str) -> CertificateRequest:
    """Return the request for a name. It is a user of the access list, where `+` or `#` would count as all."""
    if owner == "broker" and not _HOST.fullmatch(name):
        raise UserError(f"--broker {name!a}: allowed: a host's name or address, without port")
    if owner != "broker" and not NAME_PATTERN.fullmatch(name):
        raise UserError(f"--{owner} {name!a}: allowed: {ALLOWED_NAME}")
    return CertificateRequest(owner, name)


def _publish(broker: BrokerConfig, message: bytes, name: str) -> None:
    """Publish the revocation list, retained. Raises: UserError if the broker does not take it."""
    rng = random.Random()  # noqa: S311 - jitter and a client id, no secret
    connection = BrokerConnection(
        broker, [topics.REVOCATIONS_TOPIC], lambda _: None, "key", rng, SystemClock().boottime_ns
    )
    try:
        with closing(connection):
            connection.connect()
            connection.send(
                OutgoingPublish(topic=topics.REVOCATIONS_TOPIC, payload=message, retained=True)
            )
            connection.flush()
    except UserError as error:
        raise UserError(
            f"{error}: {name} is written, and not published; allowed: the same command again, without a "
            "certificate"
        ) from error


def _new_serial() -> int:
    """Return a random serial number (RFC 5280, 4.1.2.2): positive, at most 20 bytes."""
    return secrets.randbits(152) + 1
