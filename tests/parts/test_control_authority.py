"""agent.authority.control_authority: signers by certificates, dates, revocation and roles; its counts. Real state folder."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.authority.control_authority import ControlAuthority, read_authorities
from agent.authority.refusal import RefusedMessage
from agent.authority.revocation import MAX_REVOKED, state_file
from agent.authority.signed_message import SigningIdentity, sign_message
from agent.base.control_role import ControlRole
from agent.base.damaged_file import is_unreported
from agent.base.errors import UserError
from centre.signing import sign_revocations
from tests.authority_rig import NOW, ControlKeys
from tests.conftest import ManualClock

CLAIMS = {"box": "pole-17"}


@pytest.fixture
def keys() -> ControlKeys:
    return ControlKeys()


@pytest.fixture
def authority(keys: ControlKeys, tmp_path: Path, clock: ManualClock) -> ControlAuthority:
    return keys.load(tmp_path, clock)


def sign(*signers: SigningIdentity) -> bytes:
    return sign_message(CLAIMS, "vigie-command+jws", *signers)


def refusal_of(
    authority: ControlAuthority, data: bytes, roles: Iterable[ControlRole] | None = None
) -> str:
    arguments = {} if roles is None else {"roles": tuple(roles)}
    with pytest.raises(RefusedMessage) as refusal:
        authority.verify(data, "vigie-command+jws", **arguments)
    return refusal.value.reason


def serial_of(identity: SigningIdentity) -> str:
    return f"{identity.certificate.serial_number:x}"


def test_name_and_role_of_the_signers_are_those_of_their_certificates(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    amina, badr = keys.identity("amina", "supervisor"), keys.identity("badr", "operator")
    message = authority.verify(sign(amina, badr), "vigie-command+jws")
    assert message.claims == CLAIMS
    assert [(signer.name, signer.role) for signer in message.signers] == [
        ("amina", "supervisor"),
        ("badr", "operator"),
    ]
    assert message.signers[0].serial == serial_of(amina)
    assert authority.health().refused == {}


def test_two_signatures_of_one_person_are_refused(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    amina = keys.identity("amina")
    for other in (
        amina,
        keys.identity("amina"),
        keys.identity("Amina", "supervisor"),
        keys.identity("A-mina"),
        keys.identity("arnina"),
        keys.identity("badr", key=amina.key),
    ):
        assert refusal_of(authority, sign(amina, other)) == "same_person"


def test_a_name_outside_the_alphabet_is_no_second_person(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    amina = keys.identity("amina")
    for name in ("amina ", "\u0430mina", "ami\u200bna", "ami\u0301na"):
        assert refusal_of(authority, sign(amina, keys.identity(name))) == "bad_certificate"


def test_a_person_who_was_certified_again_signs_with_the_old_key_or_a_new_one(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    amina, badr = keys.identity("amina"), keys.identity("badr")
    for renewed in (keys.identity("amina", key=amina.key), keys.identity("amina")):
        authority.verify(sign(renewed, badr), "vigie-command+jws")


def test_a_certificate_of_another_authority_is_refused(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    other = ControlKeys()
    assert refusal_of(authority, sign(other.identity())) == "unknown_authority"
    assert refusal_of(authority, sign(keys.identity(), other.identity("badr"))) == (
        "unknown_authority"
    )


def test_a_certificate_without_its_key_signs_nothing(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    stolen = SigningIdentity(keys.identity().certificate, Ed25519PrivateKey.generate())
    assert refusal_of(authority, sign(stolen)) == "forged"


def test_the_key_of_an_authority_signs_no_command(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    assert refusal_of(authority, sign(keys.authority)) == "bad_certificate"


def test_two_authorities_are_both_accepted(
    keys: ControlKeys, tmp_path: Path, clock: ManualClock
) -> None:
    other = ControlKeys(name="Police control")
    file = keys.write_ca(tmp_path)
    with file.open("ab") as pem:
        pem.write(other.authority.certificate.public_bytes(serialization.Encoding.PEM))
    authority = ControlAuthority.load(file, tmp_path, clock)
    for identity in (keys.identity(), other.identity("badr")):
        authority.verify(sign(identity), "vigie-command+jws")
    # A list revokes the certificates of its own authority alone.
    both = keys.identity("amina", serial=77), other.identity("badr", serial=77)
    authority.take_revocations(sign_revocations(1, NOW, ["4d"], other.authority))
    authority.verify(sign(both[0]), "vigie-command+jws")
    assert refusal_of(authority, sign(both[1])) == "revoked"


def test_a_certificate_that_has_ended_is_refused_also_if_it_is_known(
    keys: ControlKeys, authority: ControlAuthority, clock: ManualClock
) -> None:
    data = sign(keys.identity())
    authority.verify(data, "vigie-command+jws")
    clock.advance_s(12 * 3600)
    assert refusal_of(authority, data) == "certificate_expired"
    early = sign(keys.identity(begin=NOW + timedelta(days=1)))
    assert refusal_of(authority, early) == "certificate_expired"


def test_an_authority_that_has_ended_has_no_signers(
    keys: ControlKeys, authority: ControlAuthority, clock: ManualClock
) -> None:
    clock.advance_s(3650 * 86_400)
    begin = NOW + timedelta(days=3650)
    assert refusal_of(authority, sign(keys.identity(begin=begin))) == "certificate_expired"


def test_without_a_trusted_clock_no_certificate_counts_as_ended(
    keys: ControlKeys, authority: ControlAuthority, clock: ManualClock
) -> None:
    clock.step_s(-20 * 365 * 86_400)
    clock.synced = False
    authority.verify(sign(keys.identity()), "vigie-command+jws")
    clock.synced = True
    assert refusal_of(authority, sign(keys.identity())) == "certificate_expired"


def test_each_signer_has_one_of_the_allowed_roles(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    centre, amina = keys.identity("centre-1", "centre"), keys.identity("amina", "supervisor")
    authority.verify(sign(centre), "vigie-command+jws", roles=("centre",))
    assert refusal_of(authority, sign(amina), ("centre",)) == "wrong_role"
    assert refusal_of(authority, sign(centre, amina), ("centre",)) == "wrong_role"


def test_the_limit_of_a_message_is_that_of_its_receiver(
    keys: ControlKeys, authority: ControlAuthority
) -> None:
    data = sign(keys.identity())
    with pytest.raises(RefusedMessage) as refusal:
        authority.verify(data, "vigie-command+jws", max_bytes=len(data) - 1)
    assert refusal.value.reason == "too_large"
    authority.verify(data, "vigie-command+jws", max_bytes=len(data))


def test_a_revoked_certificate_is_refused_at_once_and_after_a_restart(
    keys: ControlKeys, authority: ControlAuthority, tmp_path: Path, clock: ManualClock
) -> None:
    amina, badr = keys.identity("amina"), keys.identity("badr")
    authority.verify(sign(amina), "vigie-command+jws")
    authority.take_revocations(sign_revocations(3, NOW, [serial_of(amina)], keys.authority))
    restarted = keys.load(tmp_path, clock)
    for box in (authority, restarted):
        assert refusal_of(box, sign(amina)) == "revoked"
        box.verify(sign(badr), "vigie-command+jws")
        assert box.health().revocation_list == 3
        assert box.health().refused == {"revoked": 1}


def test_an_older_or_another_list_of_the_same_number_is_refused(
    keys: ControlKeys, authority: ControlAuthority, tmp_path: Path, clock: ManualClock
) -> None:
    amina = keys.identity("amina")
    newest = sign_revocations(3, NOW, [serial_of(amina)], keys.authority)
    authority.take_revocations(newest)
    authority.take_revocations(newest)
    assert authority.health().refused == {}
    restarted = keys.load(tmp_path, clock)
    for box in (authority, restarted):
        for number in (2, 3):
            box.take_revocations(sign_revocations(number, NOW, [], keys.authority))
        assert box.health().refused == {"old_number": 2}
        assert refusal_of(box, sign(amina)) == "revoked"
    authority.take_revocations(sign_revocations(4, NOW, [], keys.authority))
    authority.verify(sign(amina), "vigie-command+jws")


def test_only_the_key_of_the_authority_revokes(
    keys: ControlKeys, authority: ControlAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    amina = keys.identity("amina")
    serial = serial_of(amina)
    other = ControlKeys()
    claims = {"number": 1, "issued": NOW, "serials": [serial]}
    for data, reason in (
        (sign_revocations(1, NOW, [serial], keys.identity("s", "supervisor")), "unknown_authority"),
        (sign_revocations(1, NOW, [serial], keys.identity("c", "centre")), "unknown_authority"),
        (sign_revocations(1, NOW, [serial], other.authority), "unknown_authority"),
        (
            sign_revocations(
                1, NOW, [serial], SigningIdentity(keys.authority.certificate, other.authority.key)
            ),
            "forged",
        ),
        (
            sign_message(claims, "vigie-revocations+jws", keys.authority, other.authority),
            "unknown_authority",
        ),
        (sign_message(claims, "vigie-command+jws", keys.authority), "wrong_type"),
        (
            sign_message(claims | {"serials": ["0x1"]}, "vigie-revocations+jws", keys.authority),
            "malformed",
        ),
        (
            sign_message(claims | {"number": 0}, "vigie-revocations+jws", keys.authority),
            "malformed",
        ),
        (b"{}", "unsigned"),
        (b"rubbish", "malformed"),
        (b" " * 200_000, "too_large"),
    ):
        before = authority.health().refused.get(reason, 0)
        authority.take_revocations(data)
        assert authority.health().refused[reason] == before + 1, data[:80]
    authority.take_revocations(b"")
    authority.verify(sign(amina), "vigie-command+jws")
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_a_list_of_the_greatest_length_fits(keys: ControlKeys, authority: ControlAuthority) -> None:
    serials = [f"{(1 << 159) + number:x}" for number in range(MAX_REVOKED)]
    authority.take_revocations(sign_revocations(1, NOW, serials, keys.authority))
    assert authority.health().revocation_list == 1


def test_a_list_that_cannot_be_stored_is_in_force_until_the_restart(
    keys: ControlKeys, authority: ControlAuthority, tmp_path: Path
) -> None:
    (tmp_path / "control").write_bytes(b"in the place of the folder")
    amina = keys.identity("amina")
    authority.take_revocations(sign_revocations(1, NOW, [serial_of(amina)], keys.authority))
    assert refusal_of(authority, sign(amina)) == "revoked"


@pytest.mark.parametrize("harm", ["missing", "older", "damaged"])
def test_without_its_stored_list_no_signer_is_taken_until_a_list_has_come(
    keys: ControlKeys, authority: ControlAuthority, tmp_path: Path, clock: ManualClock, harm: str
) -> None:
    path, amina = state_file(tmp_path).path, keys.identity("amina")
    authority.take_revocations(sign_revocations(3, NOW, [], keys.authority))
    older = path.read_bytes()
    newest = sign_revocations(4, NOW, [serial_of(amina)], keys.authority)
    authority.take_revocations(newest)
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(older if harm == "older" else b"damaged")
    for _ in range(2):
        restarted = keys.load(tmp_path, clock)
        assert refusal_of(restarted, sign(keys.identity("badr"))) == "revocations_lost"
        restarted.verify(sign(amina), "vigie-command+jws", needs_revocations=False)
    assert restarted.health().refused == {"revocations_lost": 1}
    restarted.take_revocations(newest)
    for box in (restarted, keys.load(tmp_path, clock)):
        box.verify(sign(keys.identity("badr")), "vigie-command+jws")
        assert refusal_of(box, sign(amina)) == "revoked"


def test_a_damaged_list_is_set_aside(
    keys: ControlKeys, authority: ControlAuthority, tmp_path: Path, clock: ManualClock
) -> None:
    authority.take_revocations(sign_revocations(5, NOW, [], keys.authority))
    path = state_file(tmp_path).path
    path.write_bytes(path.read_bytes().replace(b'"number":5', b'"number":1'))
    restarted = keys.load(tmp_path, clock)
    assert restarted.health().revocation_list is None
    assert is_unreported(path)


def test_a_refused_certificate_is_not_remembered(authority: ControlAuthority) -> None:
    for _ in range(2):
        assert refusal_of(authority, sign(ControlKeys().identity())) == "unknown_authority"
    assert authority.health().refused == {"unknown_authority": 2}


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\xff" * 100])
def test_a_file_without_an_authority_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_authorities(file)
    assert str(error.value).startswith(f"control.ca = '{file}': not a certificate in PEM")


def test_a_file_with_a_persons_certificate_or_none_is_one_line(
    keys: ControlKeys, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(keys.identity().certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(UserError, match="not one of an authority"):
        read_authorities(file)
    with pytest.raises(UserError, match="No such file"):
        read_authorities(tmp_path / "missing.pem")
