"""Context of the console's commands: one box's files, its clock, its agent and the technician."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.device_identity import DeviceIdentity
from agent.base.health_model import HealthReport
from agent.base.message import Message, Text
from agent.capture.lens_aim import FocusBlocks
from agent.commands.local_command import run_command
from agent.commands.requester import CommandRejected
from agent.config import console_settings
from agent.config.configuration import Config
from agent.config.console_settings import ConsoleSettings
from agent.config_change import config_check
from agent.console import agent_process, camera_preview
from agent.console.agent_process import AgentState
from agent.console.camera_preview import CameraPreview
from agent.console.check_result import CheckResult, failed
from agent.console.config_editor import ConfigEditor
from agent.console.errors import AgentDown, ConsoleError
from agent.console.page_switch import PageSwitch
from agent.faults import texts as fault_texts
from agent.faults.registry import FAULTS, FaultCode
from agent.faults.texts import LANGUAGES, FaultGuidance, FaultTexts, Language
from agent.health import health_file
from agent.recording.archive import FootageArchive
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import FootageViewed, ServiceAction

REPLY_TIMEOUT_S = 30.0
VIEW_PURPOSE = "looked through it at the box's console"
ResultT = TypeVar("ResultT")

PreviewOpener: TypeAlias = Callable[
    [Path, Path, str, str, Clock, Callable[[], AgentState]], CameraPreview
]
"""`camera_preview.open_preview`."""


class ConsoleContext:
    """One box. Used by one thread.

    `root` is the folder in which /proc, /sys, /usr and /run are looked for.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        clock: Clock,
        boot_id: str,
        *,
        root: Path = Path("/"),
        preview_opener: PreviewOpener = camera_preview.open_preview,
    ) -> None:
        self.technician = "nobody"
        """The name under which receipts are written: set at each login attempt."""
        self.clock = clock
        self.boot_id = boot_id
        self.root = root
        self._settings = settings
        self._preview_opener = preview_opener
        self.session_language: Language | None = None
        """The language that the technician has chosen for this session."""
        self.best_focus: dict[str, FocusBlocks] = {}
        """The sharpest focus of each camera whose lens the technician has turned past it."""
        self._fault_texts: tuple[Language, FaultTexts] | None = None
        self._custody_log: CustodyLog | None = None
        self._agent_state: AgentState | None = None
        self.config_editor = ConfigEditor(settings.path, clock, boot_id, self.reload_settings)
        self.page_switch = PageSwitch(root, settings.path, clock.boottime_ns, self.write_receipt)

    def reload_settings(self) -> Path:
        """Read the configuration as it is now, and return the state folder."""
        self._settings = console_settings.read(self.config_path)
        return self.state_dir

    @property
    def box_id(self) -> str:
        """The configured id, or a placeholder if the configuration cannot be read."""
        return self._settings.box_id

    @property
    def language(self) -> Language:
        """The language of this session, by default the configured one."""
        return self.session_language or self._settings.console.language

    @property
    def site(self) -> Text:
        """The configured site, or a placeholder if the configuration cannot be read."""
        return self._settings.site

    @property
    def config(self) -> Config | None:
        """The configuration as of the last (re)load, or None if it is not valid."""
        return self._settings.config

    @property
    def config_path(self) -> Path:
        """The configuration file."""
        return self._settings.path

    @property
    def state_dir(self) -> Path:
        """The state folder."""
        return self._settings.state_dir

    @property
    def runtime_dir(self) -> Path:
        """The folder of the health file and of requests to root's units."""
        return health_file.get_runtime_dir(self.state_dir)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The configured cameras."""
        return () if self.config is None else tuple(camera.name for camera in self.config.camera)

    @property
    def head_names(self) -> tuple[str, ...]:
        """The configured pan-tilt heads."""
        return () if self.config is None else tuple(head.name for head in self.config.head)

    def require_config(self) -> Config:
        """Return the configuration. Raises ConsoleError if it is not valid."""
        if self.config is None:
            raise ConsoleError(
                Message("the configuration is not valid: config check names the error")
            )
        return self.config

    def now(self) -> datetime:
        """Return the time in UTC."""
        return self.clock.utc(self.clock.boottime_ns())

    def agent_state(self) -> AgentState:
        """Read the agent's state; within `one_agent_state` that of its begin."""
        return self._agent_state or agent_process.read_state(
            self.state_dir, self.runtime_dir, self.clock.boottime_ns(), self.boot_id, self.root
        )

    @contextmanager
    def one_agent_state(self) -> Iterator[None]:
        """Let all findings of one check come from one report."""
        self._agent_state = self.agent_state()
        try:
            yield
        finally:
            self._agent_state = None

    def live_report(self) -> HealthReport | None:
        """Return the running agent's newest report, or None if it does not run."""
        agent_state = self.agent_state()
        return agent_state.report if agent_state.state == "running" else None

    def run_agent_command(self, verb: str, args: object, result_type: type[ResultT]) -> ResultT:
        """Have the running agent execute a command of the technician, and return its result.

        Raises ConsoleError if no agent runs or it refuses, and UserError if it does not answer.
        """
        try:
            result = run_command(
                self.state_dir, verb, args, result_type, REPLY_TIMEOUT_S, self.technician
            )
        except OSError as error:
            raise ConsoleError(
                Message("the agent's control socket: {error}", error=str(error.strerror or error))
            ) from error
        except CommandRejected as error:
            raise ConsoleError(
                Message("refused ({code}): {reason}", code=error.code, reason=str(error))
            ) from error
        if result is None:
            raise AgentDown(Message("the agent does not run: see check 5"))
        return result

    def custody_log(self) -> CustodyLog:
        """Open the custody log on first use: a lost disk must not lock the technician out.

        Raises OSError.
        """
        if self._custody_log is None:
            identity = DeviceIdentity.load_or_create(self.state_dir / "identity")
            self._custody_log = CustodyLog.open(
                self.state_dir / "custody", self.box_id, self.boot_id, self.clock, identity
            )
        return self._custody_log

    def write_receipt(self, action: str) -> None:
        """Append an action of the technician to the custody log. Raises ConsoleError."""
        self.append_receipt(ServiceAction(by=self.technician, action=action))

    def append_receipt(self, body: ServiceAction | FootageViewed) -> None:
        """Append a receipt to the custody log. Raises ConsoleError."""
        try:
            self.custody_log().append(body, self.clock.boottime_ns())
        except OSError as error:
            raise ConsoleError(str(error.strerror or error), code="CUS-01") from error

    def open_archive(self) -> FootageArchive:
        """Open the footage of the configuration, or of the state folder if that is not valid."""
        if config_check.find_load_problem(self.config_path) is None:
            return FootageArchive.from_config(self.config_path, self.clock)
        return FootageArchive.from_state_dir(self.state_dir, self.clock)

    def open_preview(self, camera: str, purpose: str = VIEW_PURPOSE) -> CameraPreview:
        """Open the preview of a camera; the view is in the custody log before a picture is shown.

        `purpose` is that of the receipt. Raises ConsoleError.
        """
        config = self.require_config()
        owner_policy = next(one.institution for one in config.camera if one.name == camera)
        if owner_policy is not None and not owner_policy.can_view(self.technician):
            raise ConsoleError(
                Message(
                    "camera {camera} is lent by {owner}, whose viewers do not include {name}",
                    camera=camera,
                    owner=owner_policy.owner,
                    name=self.technician,
                )
            )
        viewed_at = rfc3339(self.now())
        self.append_receipt(
            FootageViewed(
                camera=camera,
                begin_time=viewed_at,
                end_time=viewed_at,
                by=self.technician,
                purpose=purpose,
            )
        )
        return self._preview_opener(
            self.config_path,
            self.state_dir,
            camera,
            self.technician,
            self.clock,
            self.agent_state,
        )

    def choose_language(self, argv: Sequence[str]) -> None:
        """Set the language of this session. Raises ConsoleError."""
        chosen = next((one for one in LANGUAGES if list(argv) == [one]), None)
        if chosen is None:
            raise ConsoleError(
                Message(
                    "language {typed}: allowed: {languages}",
                    typed=" ".join(argv),
                    languages=", ".join(LANGUAGES),
                )
            )
        self.session_language = chosen

    def fault_texts(self) -> FaultTexts:
        """Return the faults' texts in the language of this session."""
        if self._fault_texts is None or self._fault_texts[0] != self.language:
            self._fault_texts = (self.language, fault_texts.load_texts(self.language))
        return self._fault_texts[1]

    def fault_guidance(self, code: str) -> FaultGuidance | None:
        """Return the text of a fault code, or None if there is no such code."""
        known: FaultCode | None = next((known for known in FAULTS if known == code), None)
        return None if known is None else self.fault_texts().faults[known]

    def failed(self, subject: Text, message: Text, code: str) -> CheckResult:
        """Return a bad finding with the advice of its fault code."""
        return next(self.with_advice((failed(subject, message, code),)))

    def with_advice(self, results: Iterable[CheckResult]) -> Iterator[CheckResult]:
        """Yield each result; a bad one without advice gets that of its fault code."""
        for result in results:
            guidance = None if result.code is None else self.fault_guidance(result.code)
            if guidance is not None and result.ok is False and result.advice is None:
                yield msgspec.structs.replace(result, advice=guidance.at_box)
            else:
                yield result
