"""The stage that takes the centre's configuration: decides, tries, keeps it or rolls it back, and reports.

A version in which only scenes differ is put in force while the box records. For any other the agent ends in
order, and systemd starts it again with it. Either way it is on trial: it is kept once the cameras that were open
send frames, their footage grows and the broker is connected, and rolled back if that takes too long. A power cut
ends a trial too (`agent/config/commit_confirm.py`), so the box has the old version or the new one.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent.app import config_check, start_config
from agent.app.desired_message import ConfigSigner, ReceivedConfig, truncate_reasons
from agent.app.second_signature import StoredPresets, weakened_protections
from agent.app.start_config import StartConfig
from agent.base.clock import Clock, rfc3339
from agent.base.errors import UserError
from agent.base.sha256 import sha256_hex
from agent.config.configuration import CameraConfig, Config
from agent.config.control import Action
from agent.config.desired_config import DesiredConfig, changed_cameras
from agent.config.desired_store import ConfigLayer, Decision, DesiredStore
from agent.health.box_check import BoxCheck, BoxSample, ExpectedCamera
from agent.reporting.payloads import RefusedConfig, ReportedConfig
from drivers.errors import MaskError

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
MIN_TRIAL_S = 5.0
"""A version that makes the agent crash does so within this time. It is shorter than the shortest trial."""
MAX_KEYS_CHARS = 1000


class ConfigActions(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's part. None of them blocks for long.

    `read_message` reads a message and checks its signature, unless the same bytes were decided about already; it raises
    UserError. `replace_scenes` puts other scenes in force, and raises MaskError. `restart` ends the agent in order.
    `take_sample` is the evidence of a trial. `stored_presets` are the box's own. `record` writes a receipt of a person's
    action. `report` publishes what is in force.
    """

    read_message: Callable[[bytes, bool], ReceivedConfig]
    replace_scenes: Callable[[StartConfig], None]
    restart: Callable[[], None]
    take_sample: Callable[[], BoxSample]
    stored_presets: Callable[[], StoredPresets]
    record: Callable[[str, str], None]
    report: Callable[[], None]


class _Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The version in force is on trial; `before` is the one that it replaced live, None after a restart."""

    check: BoxCheck
    begin_ns: int
    before: StartConfig | None


class ConfigStage:
    """One thread decides; `submit` and `reported` are for any thread."""

    name = "configuration"

    def __init__(
        self,
        path: Path,
        start: StartConfig,
        clock: Clock,
        boot: str,
        actions: ConfigActions,
    ) -> None:
        """`path` is the box's own file, and `start` what the agent has started with."""
        self._path = path
        self._clock = clock
        self._boot = boot
        self._actions = actions
        self._current = start
        self._store = DesiredStore(Path(start.config.box.state))
        self._changed = threading.Condition()
        self._payload: bytes | None = None
        self._is_restarting = False
        self._refused = self._refusal_before_start()
        self._trial = self._trial_at_start()
        self._reported = self._report()

    def submit(self, payload: bytes) -> None:
        """Take a message of `down/config`; a newer one replaces it while it waits. Never blocks."""
        with self._changed:
            self._payload = payload
            self._changed.notify()

    def reported(self) -> ReportedConfig:
        """Return what is in force, and the newest refusal."""
        return self._reported

    def run_once(self, stopping: threading.Event) -> None:
        """Check the trial, or decide about a message, or return after waiting a second for one."""
        with self._changed:
            self._changed.wait_for(self._is_message_due, CHECK_INTERVAL_S)
        if self._is_restarting or stopping.is_set():
            return
        if self._trial is not None:
            self._check_trial(self._trial)
        elif (payload := self._pop_payload()) is not None:
            try:
                self._decide(payload)
            except OSError as error:
                self._refuse(None, sha256_hex(payload), (f"the disk refuses it: {error}",))

    def close(self) -> None:
        """Do nothing: the next start continues a trial."""

    def _is_message_due(self) -> bool:
        return self._payload is not None and self._trial is None and not self._is_restarting

    def _pop_payload(self) -> bytes | None:
        with self._changed:
            payload, self._payload = self._payload, None
            return payload

    def _decide(self, payload: bytes) -> None:
        """Raises OSError."""
        if not payload:
            # The retained message was removed: what is in force stays.
            return
        digest, decision = sha256_hex(payload), self._store.decision()
        is_known = digest == decision.digest
        is_restored = is_known and self._current.layer is None and not decision.reasons
        if is_known and not is_restored:
            return
        try:
            received = self._actions.read_message(payload, is_known)
        except UserError as error:
            self._refuse(None, digest, (str(error),))
            return
        desired = received.desired
        reason = None if is_restored else self._outdated_reason(desired, decision)
        if reason is not None:
            self._refuse(desired.version, digest, (reason,))
            return
        now_ns = self._clock.boottime_ns()
        layer = ConfigLayer(
            version=desired.version,
            digest=digest,
            by=", ".join(signer.by for signer in received.signers),
            since=rfc3339(self._clock.utc(now_ns)),
            settings=desired.settings,
            scenes=desired.scenes,
            presets=desired.presets,
        )
        new, reasons = self._check(layer)
        if new is not None and not is_restored:
            reasons = self._unpermitted(new, layer, received.signers)
        if new is None or reasons:
            self._store.write_decision(self._decision(layer, reasons=reasons))
            self._actions.record(
                layer.by or "", f"configuration {layer.version}: refused: {reasons[0]}"
            )
            self._refuse(layer.version, layer.digest, reasons)
            return
        try:
            self._begin(new, layer, desired.confirm_s)
        except OSError as error:
            self._refuse(layer.version, layer.digest, (f"the disk refuses it: {error}",))

    def _outdated_reason(self, desired: DesiredConfig, decision: Decision) -> str | None:
        box = self._current.config.box.id
        if desired.box != box:
            return f"box = {desired.box!r}: another box; allowed: {box!r}"
        if desired.version > decision.version:
            return None
        return (
            f"version = {desired.version}: {decision.version} was decided already; allowed: "
            f"{decision.version + 1} or higher"
        )

    def _check(self, layer: ConfigLayer) -> tuple[StartConfig | None, tuple[str, ...]]:
        """Return the new configuration, or None and a line for each reason against it."""
        try:
            problems = config_check.find_layer_problems(self._path, layer, self._store, self._clock)
            if problems:
                return None, tuple(problems)
            return start_config.load_with(self._path, layer, self._store, self._clock), ()
        except UserError as error:
            return None, (str(error),)

    def _unpermitted(
        self, new: StartConfig, layer: ConfigLayer, signers: Sequence[ConfigSigner]
    ) -> tuple[str, ...]:
        """Return a line for each reason why the people may not change this: their roles, or that it needs two."""
        config = self._current.config
        heads = {head.name: head.camera for head in config.head}
        cameras = changed_cameras(self._current.layer or ConfigLayer(), layer, heads)
        weakened = weakened_protections(self._current, new, self._actions.stored_presets())
        actions: tuple[Action, ...] = ("configure", "lift_mask") if weakened else ("configure",)
        refused = tuple(
            f"the role {signer.role} of {signer.name!r} does not permit {action!r} on "
            f"{', '.join(cameras) or 'the box'}"
            for signer in signers
            for action in actions
            if signer.role is not None and not config.control.permits(signer.role, action, cameras)
        )
        if not refused and len(signers) < 2:  # noqa: PLR2004 - people
            return tuple(f"{line}; allowed: with signatures of two people" for line in weakened)
        return refused

    def _begin(self, new: StartConfig, layer: ConfigLayer, confirm_s: float) -> None:
        """Put a version on trial. Raises OSError."""
        sample = self._actions.take_sample()
        cameras = () if sample.health is None else sample.health.report.cameras
        open_cameras = tuple(camera.name for camera in cameras if camera.open)
        self._store.write_decision(self._decision(layer, cameras=open_cameras))
        by, keys = layer.by or "", ", ".join(layer.keys())[:MAX_KEYS_CHARS]
        self._actions.record(
            by, f"configuration {layer.version}: on trial: {keys or 'nothing set'}"
        )
        until_ns = self._clock.boottime_ns() + int(confirm_s * 1e9)
        self._store.begin(layer, keys, self._boot, until_ns)
        log.info("configuration %d of %s: on trial: %s", layer.version, by, keys)
        before = self._current
        if not _differ_in_scenes_only(before, new):
            self._restart()
            return
        self._current, self._refused = new, None
        self._trial = self._make_trial(open_cameras, before)
        try:
            self._actions.replace_scenes(new)
        except MaskError as error:
            self._roll_back(self._trial, (str(error),))
        else:
            self._publish()

    def _check_trial(self, trial: _Trial) -> None:
        sample = self._actions.take_sample()
        unmet = trial.check.unmet_conditions(sample)
        try:
            pending = self._store.pending()
            remaining_s = 0.0 if pending is None else pending.remaining_s(sample.t_ns, self._boot)
            if unmet or remaining_s <= 0:
                if remaining_s <= 0:
                    self._roll_back(trial, unmet or ("the box was not seen to work in time",))
            elif (sample.t_ns - trial.begin_ns) / 1e9 >= MIN_TRIAL_S:
                self._store.confirm(sample.t_ns, self._boot)
                self._end_trial("in force")
        except UserError as error:
            log.warning("configuration: %s", error)
        except OSError as error:
            log.error("configuration: %s", error)

    def _roll_back(self, trial: _Trial, unmet: tuple[str, ...]) -> None:
        """Return to the version before. Raises OSError."""
        layer = self._current.layer or ConfigLayer()
        reasons = tuple(f"rolled back: {reason}" for reason in unmet)
        self._store.write_decision(
            self._decision(layer, cameras=self._store.decision().cameras, reasons=reasons)
        )
        self._store.undo()
        self._refused = self._refusal(layer.version, layer.digest, reasons)
        log.warning("configuration %d: %s", layer.version, "; ".join(reasons))
        before = trial.before
        if before is None:
            self._actions.record(layer.by or "", _action(layer, f"rolled back: {unmet[0]}"))
            self._restart()
            return
        self._current = before
        try:
            self._actions.replace_scenes(before)
        except MaskError as error:
            log.error("configuration: the scenes before cannot be put back: %s", error)
            self._restart()
        self._end_trial(f"rolled back: {unmet[0]}", layer)

    def _end_trial(self, outcome: str, layer: ConfigLayer | None = None) -> None:
        layer = layer or self._current.layer or ConfigLayer()
        self._trial = None
        self._actions.record(layer.by or "", _action(layer, outcome))
        log.info("configuration %d: %s", layer.version, outcome)
        self._publish()

    def _restart(self) -> None:
        self._is_restarting = True
        self._actions.restart()

    def _refuse(self, version: int | None, digest: str | None, reasons: tuple[str, ...]) -> None:
        self._refused = self._refusal(version, digest, reasons)
        log.warning("configuration %s refused: %s", version, "; ".join(self._refused.reasons))
        self._publish()

    def _publish(self) -> None:
        self._reported = self._report()
        self._actions.report()

    def _report(self) -> ReportedConfig:
        layer = self._current.layer
        if layer is None:
            return ReportedConfig(
                state="damaged", version=0, digest=None, since=None, by=None, refused=self._refused
            )
        return ReportedConfig(
            state="in_force" if self._trial is None else "on_trial",
            version=layer.version,
            digest=layer.digest,
            since=layer.since,
            by=layer.by,
            refused=self._refused,
        )

    def _refusal(
        self, version: int | None, digest: str | None, reasons: tuple[str, ...]
    ) -> RefusedConfig:
        time = rfc3339(self._clock.utc(self._clock.boottime_ns()))
        return RefusedConfig(
            version=version, digest=digest, time=time, reasons=truncate_reasons(reasons)
        )

    def _refusal_before_start(self) -> RefusedConfig | None:
        """Return the refusal of the newest version, also if a power cut or a changed file has refused it."""
        decision = self._store.decision()
        if not decision.version:
            return None
        reasons = self._current.refusal or decision.reasons
        in_force = self._current.layer
        if not reasons and in_force is not None and in_force.version != decision.version:
            reasons = ("rolled back: the box ended before it was seen to work",)
        return self._refusal(decision.version, decision.digest, reasons) if reasons else None

    def _trial_at_start(self) -> _Trial | None:
        try:
            has_trial = self._store.pending() is not None
        except OSError:
            has_trial = False
        return self._make_trial(self._store.decision().cameras, None) if has_trial else None

    def _make_trial(self, open_cameras: Sequence[str], before: StartConfig | None) -> _Trial:
        now_ns = self._clock.boottime_ns()
        cameras = [
            ExpectedCamera(name=camera.name, record=camera.record)
            for camera in self._current.config.camera
            if camera.name in open_cameras
        ]
        check = BoxCheck(cameras, now_ns, open_timeout_s=float("inf"))
        return _Trial(check=check, begin_ns=now_ns, before=before)

    def _decision(
        self, layer: ConfigLayer, *, cameras: tuple[str, ...] = (), reasons: tuple[str, ...] = ()
    ) -> Decision:
        return Decision(
            version=layer.version,
            digest=layer.digest,
            time=layer.since or "",
            cameras=cameras,
            reasons=truncate_reasons(reasons),
        )


def _action(layer: ConfigLayer, outcome: str) -> str:
    return f"configuration {layer.version}: {outcome}"


def _differ_in_scenes_only(old: StartConfig, new: StartConfig) -> bool:
    """Return whether a version can be put in force live: nothing but scenes differs, and each camera is open to it."""
    is_open = all(source.scene_error is None for source in (*old.sources, *new.sources))
    is_same = old.presets == new.presets
    return is_open and is_same and _without_scenes(old.config) == _without_scenes(new.config)


def _without_scenes(config: Config) -> Config:
    def strip(camera: CameraConfig) -> CameraConfig:
        detect = msgspec.structs.replace(camera.detect, scene=None, scenes={})
        return msgspec.structs.replace(camera, detect=detect)

    return msgspec.structs.replace(config, camera=tuple(map(strip, config.camera)))
