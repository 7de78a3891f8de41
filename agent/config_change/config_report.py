"""Reports of the configuration in force, and of a refused version. Pure."""

from agent.config.desired_store import ConfigLayer, Decision
from agent.config_change.desired_message import truncate_reasons
from agent.config_change.start_config import StartConfig
from agent.reporting.payloads import DeferredConfig, FetchingModel, RefusedConfig, ReportedConfig

MAX_KEYS_CHARS = 1000


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
    if layer is None:
        return ReportedConfig(
            state="damaged",
            version=0,
            decided=decided,
            digest=None,
            since=None,
            by=None,
            refused=refused,
            fetching=fetching,
            deferred=deferred,
        )
    return ReportedConfig(
        state="on_trial" if is_on_trial else "in_force",
        version=layer.version,
        decided=decided,
        digest=layer.digest,
        since=layer.since,
        by=layer.by,
        refused=refused,
        scenes_at_box=tuple(scene.key for scene in layer.at_box),
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
