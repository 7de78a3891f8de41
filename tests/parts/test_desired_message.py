"""agent.config_change.desired_message: a version counts with the signatures of people, and is read once as it was decided."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.authority.signed_message import MessageType, sign_message
from agent.base.errors import UserError
from agent.config.desired_config import MAX_MESSAGE_BYTES
from agent.config_change.config_stage import MIN_TRIAL_S, ConfigStage
from agent.config_change.desired_message import (
    MAX_REASONS,
    ConfigSigner,
    read_plain,
    read_signed,
    truncate_reasons,
)
from tests.authority_rig import ControlKeys
from tests.conftest import ManualClock
from tests.parts.config_stage_rig import LINE, MASK, SignedPole, skip_waits

CLAIMS: dict[str, Any] = {"box": "pole-17", "version": 1, "scenes": {"north": LINE}}
TYPE: MessageType = "vigie-config+jws"


@pytest.fixture
def keys() -> ControlKeys:
    return ControlKeys()


def test_a_signed_version_names_its_people_with_their_roles(
    keys: ControlKeys, tmp_path: Path, clock: ManualClock
) -> None:
    people = keys.identity("amina", "supervisor"), keys.identity("brahim", "supervisor")
    received = read_signed(
        sign_message(CLAIMS, TYPE, *people), keys.load(tmp_path, clock), is_known=False
    )
    assert [signer.by for signer in received.signers] == [
        "amina (supervisor)",
        "brahim (supervisor)",
    ]
    assert received.desired.scenes == {"north": LINE}


def test_a_version_that_was_decided_is_read_again_after_its_certificate_has_expired(
    keys: ControlKeys, tmp_path: Path, clock: ManualClock
) -> None:
    authority = keys.load(tmp_path, clock)
    message = sign_message(CLAIMS, TYPE, keys.identity("amina", "supervisor"))
    clock.advance_s(timedelta(hours=13).total_seconds())
    with pytest.raises(UserError, match="down/config: the certificate of "):
        read_signed(message, authority, is_known=False)
    signers = read_signed(message, authority, is_known=True).signers
    assert signers == (ConfigSigner(name="amina", role="supervisor"),)


@pytest.mark.parametrize("case", ["plain", "type", "authority", "claims", "deep", "large"])
def test_what_no_person_of_the_authority_has_signed_as_a_version_is_refused(
    case: str, keys: ControlKeys, tmp_path: Path, clock: ManualClock
) -> None:
    amina = keys.identity("amina", "supervisor")
    deep: Any = 1
    for _ in range(30):
        deep = {"x": deep}
    messages = {
        "plain": msgspec.json.encode({**CLAIMS, "by": "amina", "role": "supervisor"}),
        "type": sign_message(CLAIMS, "vigie-command+jws", amina),
        "authority": sign_message(CLAIMS, TYPE, ControlKeys().identity("amina", "supervisor")),
        "claims": sign_message({**CLAIMS, "by": "amina"}, TYPE, amina),
        "deep": sign_message({**CLAIMS, "settings": deep}, TYPE, amina),
        "large": sign_message({**CLAIMS, "scenes": {"north": "x" * 140_000}}, TYPE, amina),
    }
    with pytest.raises(UserError, match="down/config: ") as refused:
        read_signed(messages[case], keys.load(tmp_path, clock), is_known=False)
    assert "\n" not in str(refused.value)


def test_a_plain_message_has_a_limit() -> None:
    with pytest.raises(UserError, match=f"allowed: {MAX_MESSAGE_BYTES}"):
        read_plain(b" " * (MAX_MESSAGE_BYTES + 1))


def test_reasons_are_few_short_lines() -> None:
    found = truncate_reasons(("a\nb", "x" * 9999, *["y"] * 99))
    assert found[0] == "a?b"
    assert len(found[1]) < 600
    assert len(found) == MAX_REASONS


@pytest.fixture
def pole(tmp_path: Path, keys: ControlKeys, monkeypatch: pytest.MonkeyPatch) -> SignedPole:
    skip_waits(monkeypatch)
    return SignedPole(tmp_path, keys)


@pytest.mark.parametrize(
    ("role", "fields", "reason"),
    [
        ("supervisor", {"settings": {"record": {"segment_s": 5}}}, None),
        ("viewer", {"scenes": {"north": LINE}}, "'configure' on north"),
        ("maintainer", {"scenes": {"north": LINE}}, "'configure' on north"),
        ("centre", {"scenes": {"north": LINE}}, "'configure' on north"),
        ("operator", {"scenes": {"north": LINE}}, None),
        ("operator", {"settings": {"record": {"max_age_h": 24}}}, "'configure' on the box"),
    ],
)
def test_a_version_needs_a_role_that_may_configure_what_it_changes(
    pole: SignedPole, keys: ControlKeys, role: Any, fields: dict[str, Any], reason: str | None
) -> None:
    pole.sign(1, keys.identity("amina", role), **fields)
    if reason is None:
        assert pole.store.layer().version == 1
        assert pole.receipts[0].startswith(f"amina ({role}): configuration 1: on trial")
    else:
        assert pole.reasons() == (f"the role {role} of 'amina' does not permit {reason}",)
        assert pole.store.layer().version == 0


@pytest.mark.parametrize(
    ("second", "is_taken"), [("supervisor", True), ("operator", False), (None, False)]
)
def test_two_people_shrink_a_mask_if_both_may(
    pole: SignedPole, keys: ControlKeys, second: Any, is_taken: bool
) -> None:
    amina = keys.identity("amina", "supervisor")
    pole.sign(1, amina, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    people = [amina] if second is None else [amina, keys.identity("brahim", second)]
    pole.sign(2, *people, scenes={"north": ""})
    assert (pole.store.layer().version == 2) is is_taken
    assert bool(pole.reasons()) is not is_taken


def test_the_same_message_is_known_after_its_certificate_has_expired(
    pole: SignedPole, keys: ControlKeys
) -> None:
    amina = keys.identity("amina", "supervisor")
    message = sign_message(CLAIMS, TYPE, amina)
    pole.stage.submit(message, is_retained=False)
    pole.live_s(MIN_TRIAL_S + 2)
    pole.clock.advance_s(timedelta(hours=13).total_seconds())
    pole.start()
    pole.stage.submit(message, is_retained=False)
    pole.turn()
    reported = pole.stage.reported()
    assert (reported.version, reported.by, reported.refused) == (1, "amina (supervisor)", None)
    assert isinstance(pole.stage, ConfigStage)
