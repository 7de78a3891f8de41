"""The messages about a configuration: `down/config` with the people who have signed it, decisions, and `up/config`. Pure."""

import msgspec

from agent.authority.certificate import read_control_certificate
from agent.authority.control_authority import ControlAuthority
from agent.authority.refusal import RefusedMessage
from agent.authority.signed_message import MessageType, parse_message
from agent.base import checked_convert
from agent.base.control_role import ControlRole
from agent.base.errors import UserError
from agent.base.json_decode import MalformedJson, decode_any_json
from agent.config.desired_config import (
    MAX_MESSAGE_BYTES,
    MAX_VERSION_STEP,
    DesiredConfig,
    DesiredContent,
    PlainDesiredConfig,
    content_digest,
)
from agent.config.desired_store import ConfigLayer, Decision
from agent.config_change.start_config import StartConfig
from agent.reporting.payloads import (
    DeferredConfig,
    FetchingModel,
    RefusedConfig,
    ReportedConfig,
    ReportedContent,
)

MAX_REASONS, MAX_REASON_CHARS = 32, 500
MAX_KEYS_CHARS = 1000


MAX_SIGNED_BYTES = 180_224
"""A message of MAX_MESSAGE_BYTES in base64, and two certificates."""
MESSAGE_TYPE: MessageType = "vigie-config+jws"


class ConfigSigner(msgspec.Struct, frozen=True, kw_only=True):
    """A person who stands for a version. `role` is that of the certificate, None if the name is a claim."""

    name: str
    role: ControlRole | None

    @property
    def by(self) -> str:
        """The person in receipts and reports: the name, and the role if it is authenticated."""
        return self.name if self.role is None else f"{self.name} ({self.role})"


class ReceivedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A version that the centre wants, by one person or two."""

    desired: DesiredConfig
    signers: tuple[ConfigSigner, ...]


def read_message(
    payload: bytes, authority: ControlAuthority | None, *, is_known: bool
) -> ReceivedConfig:
    """Read a message and check its signatures, if the box has a control authority.

    If `is_known`, the same bytes were verified before: their certificates may have expired since. Raises: UserError with
    one line.
    """
    if authority is None:
        return read_plain(payload)
    return read_signed(payload, authority, is_known=is_known)


def read_plain(payload: bytes) -> ReceivedConfig:
    """Read the message of a box without a control authority. Raises: UserError with one line."""
    tables = _read_json(payload)
    desired = checked_convert.convert(tables, PlainDesiredConfig, "down/config")
    return ReceivedConfig(desired=desired, signers=(ConfigSigner(name=desired.by, role=None),))


def read_signed(payload: bytes, authority: ControlAuthority, *, is_known: bool) -> ReceivedConfig:
    """Read the message of a box with a control authority. Raises: UserError with one line."""
    try:
        if is_known:
            parsed = parse_message(payload, MESSAGE_TYPE, max_bytes=MAX_SIGNED_BYTES)
            claims = parsed.claims
            signers = tuple(
                ConfigSigner(name=certificate.name, role=certificate.role)
                for certificate in map(read_control_certificate, parsed.certificates)
            )
        else:
            message = authority.verify(payload, MESSAGE_TYPE, max_bytes=MAX_SIGNED_BYTES)
            claims = message.claims
            signers = tuple(
                ConfigSigner(name=signer.name, role=signer.role) for signer in message.signers
            )
    except RefusedMessage as refusal:
        raise UserError(f"down/config: {refusal}") from refusal
    _check_depth(claims)
    desired = checked_convert.convert(claims, DesiredConfig, "down/config")
    return ReceivedConfig(desired=desired, signers=signers)


def _read_json(payload: bytes) -> object:
    """Return the JSON of a payload. Raises: UserError if it is too large, or none."""
    if len(payload) > MAX_MESSAGE_BYTES:
        raise UserError(f"down/config: {len(payload)} bytes; allowed: {MAX_MESSAGE_BYTES}")
    try:
        decoded: object = decode_any_json(payload)
    except MalformedJson as error:
        raise UserError(f"down/config: not JSON: {error}") from error
    _check_depth(decoded)
    return decoded


def _check_depth(decoded: object) -> None:
    if checked_convert.is_too_deep(decoded):
        raise UserError(
            f"down/config: nested too deeply; allowed: {checked_convert.MAX_DEPTH} levels"
        )


def truncate_reasons(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """Bound lines that may quote a key or a value of the message, and keep each on one line."""
    return tuple(_truncate(reason) for reason in reasons[:MAX_REASONS])


def _truncate(reason: str) -> str:
    line = "".join(char if char.isprintable() else "?" for char in reason[: MAX_REASON_CHARS + 1])
    return line if len(line) <= MAX_REASON_CHARS else f"{line[:MAX_REASON_CHARS]} ..."


def outdated_reason(desired: DesiredConfig, box: str, decision: Decision) -> str | None:
    """Return why a version is not for this box, or is not one of the next after the one decided about; None if it is."""
    if desired.box != box:
        return f"box = {desired.box!r}: another box; allowed: {box!r}"
    step = desired.version - decision.version
    if 0 < step <= MAX_VERSION_STEP:
        return None
    return (
        f"version = {desired.version}: {decision.version} was decided already; allowed: "
        f"{decision.version + 1} to {decision.version + MAX_VERSION_STEP}"
    )


def base_reason(desired: DesiredConfig, reported: ReportedContent | None) -> str | None:
    """Return why a version was made from other content than is reported; None if it was not, or does not say."""
    found = content_digest(DesiredContent() if reported is None else reported.content)
    if desired.base in (None, found):
        return None
    return f"base = {desired.base!r}: other content is in force; allowed: made from it, {found!r}"


def make_report(
    layer: ConfigLayer | None,
    refused: RefusedConfig | None,
    fetching: FetchingModel | None,
    deferred: DeferredConfig | None,
    *,
    decided: int,
    is_on_trial: bool,
) -> ReportedConfig:
    """Return the report of a version in force; None is one that cannot be read. `decided` is the highest decided about."""
    shown = layer or ConfigLayer()
    return ReportedConfig(
        state="damaged" if layer is None else "on_trial" if is_on_trial else "in_force",
        version=shown.version,
        decided=decided,
        digest=shown.digest,
        since=shown.since,
        by=shown.by,
        refused=refused,
        scenes_at_box=tuple(scene.key for scene in shown.at_box),
        fetching=fetching,
        deferred=deferred,
    )


def make_refusal(
    version: int | None, digest: str | None, time: str, reasons: tuple[str, ...]
) -> RefusedConfig:
    """Return the refusal of a version, at a time in RFC 3339."""
    return RefusedConfig(
        version=version, digest=digest, time=time, reasons=truncate_reasons(reasons)
    )


def make_layer(received: ReceivedConfig, digest: str, since: str) -> ConfigLayer:
    """Return a version as it is stored, from a time on in RFC 3339."""
    desired = received.desired
    return ConfigLayer(
        version=desired.version,
        digest=digest,
        by=", ".join(signer.by for signer in received.signers),
        since=since,
        settings=desired.settings,
        scenes=desired.scenes,
        presets=desired.presets,
        models=desired.models,
        proofs=desired.proofs,
    )


def make_decision(
    layer: ConfigLayer,
    *,
    in_force: str | None,
    cameras: tuple[str, ...] = (),
    reasons: tuple[str, ...] = (),
) -> Decision:
    """Return the decision about a version. `in_force` is the digest of the one before it, or that stays."""
    return Decision(
        version=layer.version,
        digest=layer.digest,
        in_force=in_force,
        time=layer.since or "",
        cameras=cameras,
        reasons=truncate_reasons(reasons),
    )


def describe_keys(layer: ConfigLayer, *, is_at_box: bool) -> str:
    """Return the keys that a version sets, or the key of the scene that a technician has put on trial."""
    return layer.at_box[-1].key if is_at_box else ", ".join(layer.keys())[:MAX_KEYS_CHARS]


def describe_action(layer: ConfigLayer, outcome: str) -> str:
    """Return the text of a receipt about a version."""
    return f"configuration {layer.version}: {outcome}"


def reasons_before_start(start: StartConfig, decision: Decision) -> tuple[str, ...]:
    """Return the reasons against the newest version, also if a power cut or a changed file has refused it."""
    reasons = start.refusal or decision.reasons
    if not reasons and start.layer is not None and start.layer.version != decision.version:
        return ("rolled back: the box ended before it was seen to work",)
    return reasons
