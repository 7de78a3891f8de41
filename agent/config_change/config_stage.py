"""The stage that takes the centre's configuration: decides, tries, keeps it or rolls it back, and reports.

A technician's change of the box's own file that is not confirmed in time is rolled back by it too.

A version in which only scenes differ is put in force while the box records. For any other the agent ends in
order, and systemd starts it again with it. Either way it is on trial: it is kept once the cameras that were open
send frames, their footage grows and the broker is connected, and rolled back if that takes too long. A power cut
ends a trial too (`agent/config/commit_confirm.py`), so the box has the old version or the new one.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.authority.control_authority import ControlAuthority
from agent.base.clock import Clock, rfc3339
from agent.base.errors import UserError
from agent.base.sha256 import sha256_hex
from agent.base.state_file import DamagedStateFile
from agent.config.commit_confirm import PendingCommit
from agent.config.configuration import read_file
from agent.config.desired_config import DesiredRehearsal
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change import start_config
from agent.config_change.delivered_models import (
    FetchedModels,
    FetchModels,
    ModelFetch,
    PendingFetch,
    expected_cameras,
    missing_models,
)
from agent.config_change.desired_message import (
    ConfigSigner,
    base_reason,
    describe_action,
    describe_keys,
    make_decision,
    make_layer,
    make_refusal,
    make_report,
    outdated_reason,
    read_message,
    reasons_before_start,
)
from agent.config_change.file_trial import FileTrial
from agent.config_change.rehearsal_request import make_request
from agent.config_change.scene_change import check_scene, differ_in_scenes_only, with_scene
from agent.config_change.scene_request import SceneDone, SceneRequest, SceneView
from agent.config_change.second_signature import PreviewEviction, StoredPresets, unpermitted_changes
from agent.config_change.start_config import RefusedVersion, StartConfig
from agent.health.box_check import CAMERA_OPEN_TIMEOUT_S, BoxCheck, BoxSample
from agent.health.restart_command import NO_SERVICE_MANAGER
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import ServiceAction
from agent.rehearsal.rehearsal_stage import RehearsalStage
from agent.reporting.payloads import DeferredConfig, RefusedConfig, ReportedConfig, ReportedContent
from agent.runtime.stage import IDLE_WAIT_S
from drivers.errors import MaskError

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
MIN_TRIAL_S = 5.0
"""A version that makes the agent crash does so in it."""
MAX_SCENE_REQUESTS = 4

SceneAnswer: TypeAlias = Callable[[SceneDone | str], None]
"""Called with the outcome of a technician's request, or with the reason of its refusal."""


class DeferredVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that waits until the agent may restart for it, and its message."""

    payload: bytes
    layer: ConfigLayer
    until_ns: int


class ConfigActions(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the agent that the stage acts on. None of them blocks for long.

    `authority` verifies messages, None if the box has none. `stop_agent` ends the agent in order, and `starts_again` if a service
    manager starts it then. `replace_scenes` puts other scenes in force, and raises MaskError. `keep` ends what counts during a trial
    alone. `take_sample` is the evidence of a trial. `stored_presets` are the box's own. `preview_eviction` returns the footage that
    other rules would evict now. `report` publishes what is in force.
    """

    authority: ControlAuthority | None
    receipts: ReceiptQueue
    starts_again: bool
    stop_agent: Callable[[], None]
    replace_scenes: Callable[[StartConfig], None]
    keep: Callable[[], None]
    take_sample: Callable[[], BoxSample]
    stored_presets: Callable[[], StoredPresets]
    preview_eviction: PreviewEviction
    report: Callable[[], None]
    fetch_models: FetchModels


class ConfigTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The version in force is on trial; `before` is the one that it replaced live, None after a restart.

    `technician` has put a scene on trial, and confirms it; None: the box is seen to work with the centre's version.
    `failed` has the reasons for which its scenes could not be put in force: it is only rolled back, once the disk takes that.
    """

    check: BoxCheck
    begin_ns: int
    before: StartConfig | None
    technician: str | None = None
    failed: tuple[str, ...] = ()


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
        rehearsals: RehearsalStage,
    ) -> None:
        """`path` is the box's own file, `start` what the agent has started with. `rehearsals` tries versions on footage."""
        self._path = path
        self._clock = clock
        self._boot = boot
        self._start_ns = clock.boottime_ns()
        self._unopened = {one.config.name for one in start.sources if one.scene_error is None}
        """Cameras that were not open yet in this run, without those that stay closed."""
        self._is_ready = False
        """Whether versions are decided, see `_check_ready`."""
        self._actions = actions
        self._rehearsals = rehearsals
        self._current = start
        self._store = DesiredStore(Path(start.config.box.state))
        self._file_trial = FileTrial(path, clock, boot)
        self._changed = threading.Condition()
        self._payload: bytes | None = None
        self._is_redelivery = False
        """Whether the broker has kept the newest message."""
        self._scene_requests: deque[tuple[SceneRequest, SceneAnswer]] = deque()
        self._is_restarting = False
        self._fetch = PendingFetch(actions.fetch_models, self.wake)
        self._deferred: DeferredVersion | None = None
        self._refused = self._refusal_before_start()
        self._trial = self._trial_at_start()
        self._reported, self._content = self._report(), self._report_content()
        self._fetch_damaged_models()

    def submit(self, payload: bytes, *, is_retained: bool) -> None:
        """Take a message of `down/config`; a newer one replaces it while it waits. Never blocks.

        One that the broker had retained is delivered at each connection: its refusal is reported once.
        """
        with self._changed:
            self._payload, self._is_redelivery = payload, is_retained
            self._changed.notify()

    def submit_scene(self, request: SceneRequest, answer: SceneAnswer) -> None:
        """Take a request of a technician. Never blocks; `answer` is called once, on the stage's thread or at once."""
        with self._changed:
            is_accepted = len(self._scene_requests) < MAX_SCENE_REQUESTS
            if is_accepted:
                self._scene_requests.append((request, answer))
                self._changed.notify()
        if not is_accepted:
            answer("other requests wait already")

    def reported(self) -> ReportedConfig:
        """Return what is in force, the newest refusal, and the fetch of models."""
        return self._reported

    def reported_content(self) -> ReportedContent | None:
        """Return the content of the stored version, None if it is damaged."""
        return self._content

    def run_once(self, stopping: threading.Event) -> None:
        """Check the trial once a second, or decide about a message, or return after waiting for one.

        As long as cameras open after a start, the newest message waits.
        """
        is_idle = self._trial is None and self._is_ready
        wait_s = IDLE_WAIT_S if is_idle else CHECK_INTERVAL_S
        with self._changed:
            self._changed.wait_for(lambda: self._has_work() or stopping.is_set(), wait_s)
            scene_request = self._scene_requests.popleft() if self._scene_requests else None
        if not self._is_restarting and self._file_trial.undo_if_expired() is not None:
            # The agent ends, and starts with the file from before the trial.
            self._is_restarting = True
            self._actions.stop_agent()
        if self._is_restarting or stopping.is_set():
            if scene_request is not None:
                scene_request[1]("the agent stops")
            return
        if scene_request is not None:
            self._run_scene_request(*scene_request)
        elif self._trial is not None:
            self._check_trial(self._trial)
        elif (fetched := self._fetch.pop()) is not None:
            self._end_fetch(*fetched)
        elif self._fetch.pop_progress():
            self._publish()
        elif self._check_ready() and (payload := self._pop_payload()) is not None:
            self._decide_or_refuse(payload)
        elif (deferred := self._pop_deferred()) is not None:
            self._decide_or_refuse(deferred.payload, is_deferred=True)

    def wake(self) -> None:
        """End the wait of `run_once` if it is to stop or models were fetched. Thread-safe; never blocks."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Do nothing: the next start continues a trial."""

    def _has_work(self) -> bool:
        has_message = self._payload is not None and self._is_ready
        is_waiting = has_message or self._fetch.has_news
        is_due = is_waiting and self._trial is None and not self._is_restarting
        return bool(self._scene_requests) or is_due

    def _check_ready(self) -> bool:
        """Return whether versions are decided: each camera has been open in this run, or has had its time to open.

        A trial demands the cameras that are open at its begin. The broker delivers a version at the connection, before a
        network camera is open: it would be kept without a picture.
        """
        if not self._is_ready and (sample := self._actions.take_sample()).health is not None:
            cameras = sample.health.report.cameras
            self._unopened -= {camera.name for camera in cameras if camera.open}
            elapsed_s = (sample.t_ns - self._start_ns) / 1e9
            self._is_ready = not self._unopened or elapsed_s > CAMERA_OPEN_TIMEOUT_S
        return self._is_ready

    def _pop_payload(self) -> bytes | None:
        with self._changed:
            payload, self._payload = self._payload, None
            return payload

    def _pop_deferred(self) -> DeferredVersion | None:
        """Return the version whose time has come."""
        deferred = self._deferred
        if deferred is None or self._clock.boottime_ns() < deferred.until_ns:
            return None
        self._deferred = None
        return deferred

    def _decide_or_refuse(self, payload: bytes, *, is_deferred: bool = False) -> None:
        try:
            self._decide(payload, is_deferred=is_deferred)
        except OSError as error:
            self._refuse(None, sha256_hex(payload), (f"the disk refuses it: {error}",))

    def _decide(self, payload: bytes, *, is_deferred: bool) -> None:
        """Raises OSError."""
        digest, decision = sha256_hex(payload), self._store.decision()
        is_waiting = self._deferred is not None and self._deferred.payload == payload
        is_rehearsed = self._rehearsals.is_of(digest)
        if not payload or self._fetch.is_of(payload) or is_waiting or is_rehearsed:
            # The retained message was removed, and what is in force stays; or it waits, or came twice.
            return
        is_known = digest in (decision.digest, decision.in_force)
        is_of_version = digest == (decision.in_force if decision.reasons else decision.digest)
        # After a reset at the box no message restores what was in force.
        is_restored = is_of_version and self._current.layer is None and decision.version > 0
        if is_known and not is_restored:
            self._fetch_damaged_models()  # at the start there may have been no link
            return
        try:
            received = read_message(payload, self._actions.authority, is_known=is_known)
        except UserError as error:
            self._refuse(None, digest, (str(error),))
            return
        desired = received.desired
        box = self._current.config.box.id
        # A newer version that was refused meanwhile takes nothing from the deferred one.
        is_due = is_restored or is_deferred
        reason = None if is_due else outdated_reason(desired, box, decision)
        if reason is None and not is_restored:
            reason = base_reason(desired, self._report_content())
        if desired.rehearse is not None and (self._fetch.is_busy or self._deferred is not None):
            reason = reason or "rehearse: another version waits; allowed: once it is decided"
        if reason is not None:
            self._refuse(desired.version, digest, (reason,))
            return
        self._fetch.drop()
        now_ns = self._clock.boottime_ns()
        layer = make_layer(received, digest, rfc3339(self._clock.utc(now_ns)))
        new, reasons = self._check(layer)
        if desired.rehearse is not None:
            self._rehearse(new, layer, received.signers, desired.rehearse, payload, reasons)
            return
        if new is not None and not is_restored:
            stored = self._actions.stored_presets()
            preview = self._actions.preview_eviction
            reasons = unpermitted_changes(
                self._current, new, layer, received.signers, stored, preview
            )
        if new is None or reasons:
            self._refuse_for_good(layer, reasons)
            return
        self._try(new, layer, desired.confirm_s, payload)

    def _rehearse(
        self,
        new: StartConfig | None,
        layer: ConfigLayer,
        signers: tuple[ConfigSigner, ...],
        span: DesiredRehearsal,
        payload: bytes,
        reasons: tuple[str, ...],
    ) -> None:
        """Try a version on recorded footage, or fetch its models first. It is not decided."""
        request = None
        try:
            if new is not None:
                request = make_request(self._current, new, layer, signers, span)
        except UserError as error:
            reasons = (str(error),)
        if request is None:
            self._refuse(layer.version, layer.digest, reasons)
        elif missing_models(self._store.card_files(layer)):
            self._fetch.begin(payload, layer)
        else:
            self._rehearsals.submit(request)

    def _try(self, new: StartConfig, layer: ConfigLayer, confirm_s: float, payload: bytes) -> None:
        """Put a version on trial, or fetch its models first, or wait until the agent may restart for it."""
        self._deferred = None
        obstacle = self._restart_obstacle(new)
        if obstacle is not None:
            self._refuse(layer.version, layer.digest, (obstacle,))
            return
        if missing_models(self._store.card_files(layer)):
            self._fetch.begin(payload, layer)
            return
        until_ns = self._store.restarts().next_ns(self._boot)
        # Cameras that a damaged version closes do not wait.
        can_wait = self._current.layer is not None and self._needs_restart(new)
        if can_wait and self._clock.boottime_ns() < until_ns:
            self._deferred = DeferredVersion(payload=payload, layer=layer, until_ns=until_ns)
            self._publish()
            return
        try:
            self._begin(new, layer, confirm_s, None)
        except OSError as error:
            self._refuse(layer.version, layer.digest, (f"the disk refuses it: {error}",))

    def _fetch_damaged_models(self) -> None:
        """Fetch models of the version in force again if their files are damaged; the default one detects until then."""
        layer = self._current.layer
        if layer is None or not self._actions.starts_again:
            return
        if missing_models(self._store.card_files(layer)):
            self._fetch.begin_again(layer)

    def _end_fetch(self, fetch: ModelFetch, fetched: FetchedModels) -> None:
        """Continue with a version; one that cannot be fetched now stays undecided, and the broker delivers it again."""
        if not fetched.reasons and fetch.payload:
            self._decide_or_refuse(fetch.payload)
        elif not fetched.reasons:
            self._restart()
        elif not fetch.payload:
            log.warning("configuration: %s", "; ".join(fetched.reasons))
            self._publish()
        elif fetched.is_final:
            self._refuse_for_good(fetch.layer, fetched.reasons)
        else:
            self._refuse(fetch.layer.version, fetch.layer.digest, fetched.reasons)

    def _check(self, layer: ConfigLayer) -> tuple[StartConfig | None, tuple[str, ...]]:
        """Return the new configuration, or None and a line for each reason against it."""
        try:
            file = read_file(self._path)
            return start_config.check_version(file, layer, self._store, self._clock), ()
        except RefusedVersion as refused:
            return None, tuple(map(str, refused.problems))
        except UserError as error:
            return None, (str(error),)

    def _begin(
        self, new: StartConfig, layer: ConfigLayer, confirm_s: float, technician: str | None
    ) -> None:
        """Put a version on trial, or a technician's scene. Raises OSError."""
        self._rehearsals.end()
        sample = self._actions.take_sample()
        cameras = () if sample.health is None else sample.health.report.cameras
        open_cameras = tuple(camera.name for camera in cameras if camera.open)
        decision = self._store.decision()
        if technician is None and layer.version > decision.version:
            decision = make_decision(layer, in_force=self._store.stored_digest())
        self._store.write_decision(msgspec.structs.replace(decision, cameras=open_cameras))
        by = technician or layer.by or ""
        keys = describe_keys(layer, is_at_box=technician is not None)
        self._record(by, describe_action(layer, f"on trial: {keys or 'nothing set'}"))
        now_ns, needs_restart = self._clock.boottime_ns(), self._needs_restart(new)
        if needs_restart:
            restarts = self._store.restarts().with_one(self._boot, now_ns)
            self._store.write_restarts(restarts)
        until_ns = now_ns + int(confirm_s * 1e9)
        self._store.begin(layer, keys, by, self._boot, until_ns)
        log.info("configuration %d of %s: on trial: %s", layer.version, by, keys)
        before = self._current
        if needs_restart:
            self._restart()
            return
        self._current, self._refused = new, None
        self._trial = self._make_trial(open_cameras, before, technician)
        try:
            self._actions.replace_scenes(new)
        except MaskError as error:
            self._trial = msgspec.structs.replace(self._trial, failed=(str(error),))
            self._roll_back(self._trial, self._trial.failed)
        else:
            self._publish()

    def _check_trial(self, trial: ConfigTrial) -> None:
        try:
            pending = self._store.pending()
            if pending is None:
                self._end_as_stored(trial)
            elif trial.failed:
                self._roll_back(trial, trial.failed)
            else:
                self._judge_trial(trial, pending)
        except UserError as error:
            log.warning("configuration: %s", error)
        except OSError as error:
            log.error("configuration: %s", error)

    def _judge_trial(self, trial: ConfigTrial, pending: PendingCommit) -> None:
        """Keep the version if the box works with it, or roll it back if its time is over. Raises: UserError, OSError."""
        sample = self._actions.take_sample()
        unmet = trial.check.unmet_conditions(sample)
        if trial.technician is not None:
            unmet = ("not confirmed in time",)
        remaining_s = pending.remaining_s(sample.t_ns, self._boot)
        if remaining_s <= 0:
            self._roll_back(trial, unmet or ("the box was not seen to work in time",))
        elif (
            not unmet
            and sample.health
            and (sample.health.t_ns - trial.begin_ns) / 1e9 >= MIN_TRIAL_S
        ):
            self._store.confirm(sample.t_ns, self._boot)
            self._keep()

    def _end_as_stored(self, trial: ConfigTrial) -> None:
        """End a trial that is over in the store already. The decision there stays. Raises OSError."""
        stored = self._stored_layer()
        if stored is not None and stored == self._current.layer and not trial.failed:
            # Confirmed, and an error of the disk came before the report.
            self._keep()
        else:
            # A technician has reset the version, or an error of the disk came in the middle of a rollback.
            log.warning("configuration: the trial is over, and another version is stored")
            self._restart()

    def _keep(self) -> None:
        """Report the version on trial as kept. Raises OSError."""
        self._actions.keep()
        self._end_trial("in force")
        decision = self._store.decision()
        in_force = self._store.stored_digest()
        self._store.write_decision(msgspec.structs.replace(decision, in_force=in_force))

    def _roll_back(self, trial: ConfigTrial, unmet: tuple[str, ...]) -> None:
        """Return to the version before. Raises OSError."""
        layer = self._current.layer or ConfigLayer()
        reasons = tuple(f"rolled back: {reason}" for reason in unmet)
        if trial.technician is None:
            before_it = self._store.decision()
            decision = make_decision(
                layer, in_force=before_it.in_force, cameras=before_it.cameras, reasons=reasons
            )
            self._store.write_decision(decision)
            self._refused = self._refusal(layer.version, layer.digest, reasons)
        self._store.undo()
        log.warning("configuration %d: %s", layer.version, "; ".join(reasons))
        before = trial.before
        if before is None:
            by = trial.technician or layer.by or ""
            self._record(by, describe_action(layer, f"rolled back: {unmet[0]}"))
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
        technician = None if self._trial is None else self._trial.technician
        self._trial = None
        self._record(technician or layer.by, describe_action(layer, outcome))
        log.info("configuration %d: %s", layer.version, outcome)
        self._publish()

    def _run_scene_request(self, request: SceneRequest, answer: SceneAnswer) -> None:
        try:
            answer(self._do_scene_request(request))
        except UserError as error:
            answer(str(error))
        except OSError as error:
            answer(f"the disk refuses it: {error}")

    def _do_scene_request(self, request: SceneRequest) -> SceneDone:
        """Raises: UserError, OSError."""
        trial = self._trial
        if request.do == "try":
            if trial is not None or request.view is None:
                raise UserError("another change is on trial; allowed: after its end")
            self._try_scene(request, request.view)
        elif trial is None or trial.technician is None or self._store.pending() is None:
            raise UserError("no scene is on trial")
        elif request.do == "confirm" and trial.failed:
            raise UserError("its masks cannot be put in force; see the log")
        elif request.do == "confirm":
            self._store.confirm(self._clock.boottime_ns(), self._boot)
            self._actions.keep()
            self._end_trial(f"in force: confirmed by {request.by}")
        else:
            self._roll_back(trial, (f"undone by {request.by}",))
        return SceneDone(restarts=self._is_restarting)

    def _try_scene(self, request: SceneRequest, view: SceneView) -> None:
        """Raises: UserError, OSError."""
        current = self._current
        if current.layer is None:
            raise UserError(
                "the centre's configuration is damaged; allowed: after its next version"
            )
        since = rfc3339(self._clock.utc(self._clock.boottime_ns()))
        layer = with_scene(current.layer, current.config, view, request.toml, request.by, since)
        new = check_scene(read_file(self._path), current, layer, self._store, self._clock)
        obstacle = self._restart_obstacle(new)
        if obstacle is not None:
            raise UserError(obstacle)
        self._begin(new, layer, request.confirm_s, request.by)
        if self._trial is None and not self._is_restarting:
            raise UserError(f"{view.key}: its masks cannot be put in force; see the log")

    def _needs_restart(self, new: StartConfig) -> bool:
        return not differ_in_scenes_only(self._current, new)

    def _restart_obstacle(self, new: StartConfig) -> str | None:
        """Return why a version cannot be tried, or None."""
        if not self._actions.starts_again and self._needs_restart(new):
            return f"it takes effect by a restart: {NO_SERVICE_MANAGER}"
        return None

    def _restart(self) -> None:
        """End the agent, or decide nothing any more until it is started again by hand."""
        self._is_restarting = True
        if self._actions.starts_again:
            self._actions.stop_agent()
        else:
            log.error("configuration: it takes effect by a restart: %s", NO_SERVICE_MANAGER)
            self._publish()

    def _record(self, by: str | None, action: str) -> None:
        """Write a receipt of a person's action."""
        body = ServiceAction(by=by or "", action=action)
        self._actions.receipts.enqueue(body, self._clock.boottime_ns())

    def _refuse(self, version: int | None, digest: str | None, reasons: tuple[str, ...]) -> None:
        before, refused = self._refused, self._refusal(version, digest, reasons)
        is_same = before is not None and before == msgspec.structs.replace(
            refused, time=before.time
        )
        if self._is_redelivery and is_same:
            return
        self._refused = refused
        log.warning("configuration %s refused: %s", version, "; ".join(self._refused.reasons))
        self._publish()

    def _refuse_for_good(self, layer: ConfigLayer, reasons: tuple[str, ...]) -> None:
        """Raises OSError."""
        decision = make_decision(layer, in_force=self._store.stored_digest(), reasons=reasons)
        self._store.write_decision(decision)
        self._record(layer.by, describe_action(layer, f"refused: {reasons[0]}"))
        self._refuse(layer.version, layer.digest, reasons)

    def _publish(self) -> None:
        self._reported, self._content = self._report(), self._report_content()
        self._actions.report()

    def _report(self) -> ReportedConfig:
        waiting, is_on_trial = self._deferred, self._trial is not None
        deferred = None
        if waiting is not None:
            deferred = DeferredConfig(
                version=waiting.layer.version,
                digest=waiting.layer.digest,
                until=rfc3339(self._clock.utc(waiting.until_ns)),
            )
        return make_report(
            self._current.layer,
            self._refused,
            self._fetch.progress,
            deferred,
            decided=self._store.decision().version,
            is_on_trial=is_on_trial,
        )

    def _report_content(self) -> ReportedContent | None:
        layer = self._stored_layer()
        if layer is None:
            return None
        return ReportedContent(version=layer.version, digest=layer.digest, content=layer.content())

    def _stored_layer(self) -> ConfigLayer | None:
        """Return the version in force or on trial, None if it is damaged."""
        try:
            return self._store.layer()
        except DamagedStateFile:
            return None

    def _refusal(
        self, version: int | None, digest: str | None, reasons: tuple[str, ...]
    ) -> RefusedConfig:
        time = rfc3339(self._clock.utc(self._clock.boottime_ns()))
        return make_refusal(version, digest, time, reasons)

    def _refusal_before_start(self) -> RefusedConfig | None:
        decision = self._store.decision()
        reasons = reasons_before_start(self._current, decision)
        version = decision.version or None
        return self._refusal(version, decision.digest, reasons) if reasons else None

    def _trial_at_start(self) -> ConfigTrial | None:
        try:
            if self._store.pending() is None:
                return None
            technician = self._store.trial_technician()
        except OSError:
            return None
        return self._make_trial(self._store.decision().cameras, None, technician)

    def _make_trial(
        self, open_cameras: Sequence[str], before: StartConfig | None, technician: str | None
    ) -> ConfigTrial:
        now_ns = self._clock.boottime_ns()
        expected = expected_cameras(self._current.config, open_cameras)
        check = BoxCheck(expected, now_ns, open_timeout_s=float("inf"))
        return ConfigTrial(check=check, begin_ns=now_ns, before=before, technician=technician)
