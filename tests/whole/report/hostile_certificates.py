"""Certificates that an EST server, or an authority below that of the broker, could issue and that no box must have."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.whole.report.est_server import SigningAuthority, key_usage

Sign = Callable[[SigningAuthority, x509.CertificateSigningRequest], list[x509.Certificate]]


def change(
    *,
    subject: str | None = None,
    key: ec.EllipticCurvePublicKey | None = None,
    days: tuple[float, float] | None = None,
    replaced: tuple[x509.ExtensionType, ...] = (),
    left_out: type[x509.ExtensionType] | None = None,
) -> Sign:
    """Sign a certificate that differs in one point. An extension is replaced by its kind, or added as critical."""

    def apply(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        begin, end = builder._not_valid_before, builder._not_valid_after
        if days is not None:
            now = datetime.now(UTC)
            begin, end = now + timedelta(days=days[0]), now + timedelta(days=days[1])
        new = {value.oid: value for value in replaced}
        kept = [
            extension
            for extension in builder._extensions
            if extension.oid not in new and (left_out is None or extension.oid != left_out.oid)
        ]
        added = [x509.Extension(oid, True, value) for oid, value in new.items()]
        name = builder._subject_name if subject is None else _name(subject)
        return x509.CertificateBuilder(
            builder._issuer_name,
            name,
            key or builder._public_key,
            builder._serial_number,
            begin,
            end,
            [*kept, *added],
        )

    return lambda authority, request: [authority.sign(request, apply)]


def _name(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text)


def by_intermediate(
    *,
    days: tuple[int, int] = (-1, 900),
    path_lengths: tuple[int | None, ...] = (None,),
    may_sign: bool = True,
) -> Sign:
    """Sign by authorities below the pinned one, each below the one before, all of them in the answer."""

    def sign(
        authority: SigningAuthority, request: x509.CertificateSigningRequest
    ) -> list[x509.Certificate]:
        chain: list[x509.Certificate] = []
        for number, path_length in enumerate(path_lengths):
            authority = authority.make_intermediate(
                f"authority {number}", days=days, path_length=path_length, may_sign=may_sign
            )
            chain.insert(0, authority.certificate)
        return [authority.sign(request), *chain]

    return sign


def _as_other_box(
    authority: SigningAuthority, request: x509.CertificateSigningRequest
) -> list[x509.Certificate]:
    """Sign with the key of another box, whose certificate is of the pinned authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    other = authority.sign(
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name("CN=pole-18"))
        .sign(key, hashes.SHA256())
    )
    return [SigningAuthority(other, key).sign(request), other]


def _among_many_of_one_name(
    authority: SigningAuthority, request: x509.CertificateSigningRequest
) -> list[x509.Certificate]:
    """Sign by one of many authorities of one name, none of which leads to the pinned one: each pair could be a link."""
    others = [authority.make_intermediate("street").make_intermediate("street") for _ in range(110)]
    return [others[0].sign(request), *(other.certificate for other in others)]


def _under_the_same_name(
    authority: SigningAuthority, request: x509.CertificateSigningRequest
) -> list[x509.Certificate]:
    """Sign with a key of one's own, under the name of the pinned authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    return [SigningAuthority(authority.certificate, key).sign(request), authority.certificate]


HOSTILE: dict[str, tuple[Sign, str]] = {
    "another box": (change(subject="CN=pole-18"), "its name is 'pole-18'; allowed: 'pole-17'"),
    "two names": (change(subject="CN=pole-17,CN=pole-18"), "its name is 'pole-18, pole-17'"),
    "another subject": (change(subject="CN=pole-17,O=x"), "not that of the present certificate"),
    "another alternative name": (
        change(replaced=(x509.SubjectAlternativeName([x509.DNSName("broker.example.org")]),)),
        "its alternative names are not those",
    ),
    "another key": (
        change(key=ec.generate_private_key(ec.SECP256R1()).public_key()),
        "no certificate for the key of the request",
    ),
    "a shorter life": (change(days=(-1, 10)), "not after the present one"),
    "a life of 1,000 years": (change(days=(-1, 365_000)), "allowed: 400 days"),
    "a life that is over": (change(days=(-90, -1)), "not now"),
    "a life that has not begun": (change(days=(1, 90)), "not now"),
    "of an authority": (
        change(replaced=(x509.BasicConstraints(ca=True, path_length=None),)),
        "it is one of an authority",
    ),
    "serverAuth only": (
        change(replaced=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),)),
        "its extended key usage is not clientAuth",
    ),
    "no extended key usage": (
        change(left_out=x509.ExtendedKeyUsage),
        "missing required extension",
    ),
    "no key usage": (change(left_out=x509.KeyUsage), "missing required extension"),
    "a key that signs certificates": (
        change(replaced=(key_usage("digital_signature", "key_cert_sign"),)),
        "its key usage is not digitalSignature",
    ),
    "a critical extension that is unknown": (
        change(
            replaced=(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),)
        ),
        "unaccounted-for critical extensions",
    ),
    "signed by another box": (_as_other_box, "CA certificate has no basicConstraints"),
    "signed under the authority's name": (_under_the_same_name, "validation failed"),
    "an intermediate that has expired": (
        by_intermediate(days=(-90, -1)),
        "cert is not valid at validation time",
    ),
    "an intermediate that may not sign": (
        by_intermediate(may_sign=False),
        "keyCertSign must be asserted",
    ),
    "an intermediate below one that allows none": (
        by_intermediate(path_lengths=(0, None)),
        "path length constraint violated",
    ),
    "a path among many": (_among_many_of_one_name, "maximum signature check limit"),
    "too long a path": (
        by_intermediate(path_lengths=(None, None, None, None)),
        "exceeds max depth",
    ),
}
