"""agent.update.update_command: requests to root, followed to their outcome. Root's side is the real writer of the status."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.base.message import Message
from agent.base.model import CommandAccepted, CommandProgress, Reply
from agent.commands.pending_commands import PendingCommandStore
from agent.update import request_file
from agent.update.request_service import ProgressWriter
from agent.update.update_command import (
    ANSWER_TIMEOUT_S,
    PROGRESS_INTERVAL_S,
    UpdateCommandHandler,
)
from tests.conftest import ManualClock
from tests.parts.command_rig import CommandRig, MakeRig, decode_result, make_rig, rejection_of

__all__ = ["make_rig"]

INSTALL = {"do": "install", "version": "2.0.0"}
BOOT, NEXT_BOOT = "boot-1", "boot-2"


class Box:
    """One run of the agent on a system with slots, and root's side of the requests."""

    def __init__(
        self, root: Path, make: MakeRig, clock: ManualClock, boot: str, obstacle: str | None
    ) -> None:
        self.folder = request_file.request_dir(root)
        self.actions: list[tuple[str, str]] = []
        self.answers: list[Reply] = []
        self.handler = UpdateCommandHandler(
            root,
            clock.boottime_ns,
            boot,
            PendingCommandStore(root),
            lambda by, action: self.actions.append((by, action)),
            [lambda: obstacle],
        )
        self.rig: CommandRig = make(self.handler)
        self.handler.resume(
            lambda command, deferred: self.rig.dispatcher.resume(
                command, self.answers.append, deferred
            )
        )

    def take(self) -> tuple[request_file.UpdateRequest, ProgressWriter]:
        """Root takes the request."""
        request = request_file.take_request(self.folder, [self.folder.stat().st_uid])
        return request, ProgressWriter(self.folder, request)

    def check(self) -> None:
        """The stage looks at the status, and the dispatcher sends what came of it."""
        self.handler.check()
        self.rig.run_all()


@pytest.fixture
def start(tmp_path: Path, make_rig: MakeRig, clock: ManualClock) -> Callable[..., Box]:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text("quiet rauc.slot=A\n")
    request_file.request_dir(tmp_path).mkdir(parents=True)

    def make(boot: str = BOOT, obstacle: str | None = None) -> Box:
        return Box(tmp_path, make_rig, clock, boot, obstacle)

    return make


def test_a_release_is_installed_by_name_and_its_progress_is_forwarded(
    start: Callable[..., Box], clock: ManualClock
) -> None:
    box = start()
    assert isinstance(box.rig.run_command(INSTALL, verb="update"), CommandAccepted)
    request, root = box.take()
    assert (request.action, request.version, request.bundle_path) == (
        "install_release",
        "2.0.0",
        None,
    )
    assert request.requester == "amina"
    assert box.actions == [("amina", "update: install version 2.0.0")]
    root.report_step(Message("downloading"), 10, 100)
    box.check()
    root.report_step(Message("downloading"), 20, 100)
    box.check()
    clock.advance_s(PROGRESS_INTERVAL_S)
    root.report_step(Message("writing"), 50, 100)
    box.check()
    steps = [reply for reply in box.rig.replies if isinstance(reply, CommandProgress)]
    assert [(step.progress, step.detail) for step in steps] == [
        (0.1, "downloading 10 %"),
        (0.5, "writing 50 %"),
    ]
    root.finish([Message("version {version} is in slot {slot}", version="2.0.0", slot="B")])
    box.check()
    assert decode_result(box.rig.replies[-1]) == {"lines": ["version 2.0.0 is in slot B"]}
    assert box.handler.find_obstacle() is None


def test_a_failure_of_root_is_the_refusal(start: Callable[..., Box]) -> None:
    box = start()
    box.rig.run_command(INSTALL, verb="update")
    _, root = box.take()
    root.fail("version 2.0.0: not in the feed for vigie; allowed: 1.9.0")
    box.check()
    assert rejection_of(box.rig.replies[-1]) == (
        "failed",
        "version 2.0.0: not in the feed for vigie; allowed: 1.9.0",
    )


@pytest.mark.parametrize("do", ["status", "check"])
def test_the_slots_and_the_feed_are_reported(start: Callable[..., Box], do: str) -> None:
    box = start(obstacle="an incident runs")
    box.rig.run_command({"do": do}, verb="update")
    request, root = box.take()
    assert request.action == do
    root.finish(["version 1.0.0 runs, from slot A"])
    box.check()
    assert decode_result(box.rig.replies[-1])["lines"] == ["version 1.0.0 runs, from slot A"]
    assert box.actions == []


def test_one_request_runs_at_a_time_and_stands_in_the_way_of_a_reboot(
    start: Callable[..., Box],
) -> None:
    box = start()
    box.rig.run_command(INSTALL, verb="update")
    assert rejection_of(box.rig.run_command({"do": "status"}, "two", verb="update"))[0] == "busy"
    box.take()
    assert box.handler.find_obstacle() == (
        "an update is being installed for amina: wait for its end"
    )


def test_nothing_is_installed_while_it_would_do_harm(start: Callable[..., Box]) -> None:
    box = start(obstacle="an incident runs")
    assert rejection_of(box.rig.run_command(INSTALL, verb="update")) == ("busy", "an incident runs")
    assert list(box.folder.iterdir()) == []


def test_a_request_that_root_does_not_take_is_withdrawn(
    start: Callable[..., Box], clock: ManualClock
) -> None:
    box = start()
    box.rig.run_command(INSTALL, verb="update")
    clock.advance_s(ANSWER_TIMEOUT_S + 1)
    box.check()
    code, why = rejection_of(box.rig.replies[-1])
    assert code == "unavailable"
    assert why.endswith("vigie-update-request.path does not run")
    assert list(box.folder.iterdir()) == []


def test_the_next_run_follows_the_request_of_the_one_before(start: Callable[..., Box]) -> None:
    first = start()
    first.rig.run_command(INSTALL, verb="update")
    _, root = first.take()
    first.rig.dispatcher.close()
    assert len(first.rig.replies) == 1
    second = start()
    assert isinstance(second.rig.run_command(INSTALL, verb="update"), CommandAccepted), "a repeat"
    root.finish(["done"])
    second.check()
    assert decode_result(second.rig.replies[-1]) == {"lines": ["done"]}
    third = start()
    third.check()
    assert third.answers == []


def test_an_outcome_that_comes_while_the_agent_stops_is_answered_by_the_next_run(
    start: Callable[..., Box],
) -> None:
    first = start()
    first.rig.run_command(INSTALL, verb="update")
    _, root = first.take()
    first.rig.dispatcher.close()
    root.finish(["done"])
    first.handler.check()  # its stage stops after the dispatcher
    assert len(first.rig.replies) == 1
    second = start()
    second.check()
    (reply,) = second.answers
    assert decode_result(reply) == {"lines": ["done"]}
    third = start()
    third.check()
    assert third.answers == []


def test_a_run_that_ends_before_its_dispatcher_turns_leaves_the_failure_to_the_next_one(
    start: Callable[..., Box],
) -> None:
    first = start()
    first.rig.run_command(INSTALL, verb="update")
    first.take()
    first.rig.dispatcher.close()
    second = start(NEXT_BOOT)
    assert second.answers == []
    third = start(NEXT_BOOT)
    third.check()
    (reply,) = third.answers
    assert rejection_of(reply) == ("failed", "the box was rebooted before it was done")
    fourth = start(NEXT_BOOT)
    fourth.check()
    assert fourth.answers == []


def test_a_reboot_in_between_is_a_failure(start: Callable[..., Box]) -> None:
    first = start()
    first.rig.run_command(INSTALL, verb="update")
    first.take()
    first.rig.dispatcher.close()
    second = start(NEXT_BOOT)
    second.check()
    assert rejection_of(second.answers[-1]) == (
        "failed",
        "the box was rebooted before it was done",
    )


@pytest.mark.parametrize(
    "args",
    [
        {"do": "install"},
        {"do": "install", "version": "https://evil.example/x.raucb"},
        {"do": "install", "version": "../x"},
        {"do": "install", "version": "2.0.0", "url": "https://evil.example"},
        {"do": "install", "version": "2.0.0\n"},
        {"do": "install", "version": "2" * 65},
        {"do": "rollback"},
    ],
)
def test_no_url_and_no_path_comes_from_the_network(
    start: Callable[..., Box], args: dict[str, str]
) -> None:
    box = start()
    assert rejection_of(box.rig.run_command(args, verb="update"))[0] == "malformed"
    assert list(box.folder.iterdir()) == []


def test_a_version_that_is_none_is_refused_before_root_sees_it(start: Callable[..., Box]) -> None:
    box = start()
    code, why = rejection_of(
        box.rig.run_command({"do": "install", "version": "2..0"}, verb="update")
    )
    assert code == "malformed"
    assert "not a version; allowed: 1.2.3" in why


def test_a_system_without_slots_is_not_updated(tmp_path: Path, start: Callable[..., Box]) -> None:
    (tmp_path / "proc/cmdline").write_text("quiet\n")
    code, why = rejection_of(start().rig.run_command(INSTALL, verb="update"))
    assert code == "unsupported"
    assert "allowed: a system flashed from an image" in why
