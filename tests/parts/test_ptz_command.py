"""agent.ptz.ptz_command: the effect of a stop on other commands, and the right to release a lease."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.commands.command import ValidCommand
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import TourConfig, TourStopConfig
from agent.ptz import ptz_args as words
from agent.ptz.automation.guard_tours import GuardTours
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from agent.ptz.requests import Lease
from drivers.contracts import Pose
from tests.parts.head_rig import (
    ANNA,
    BRAHIM,
    INCIDENT,
    PLAIN_CONFIG,
    HeadRig,
    RecordingProgressSink,
)

TOUR_START = words.PtzStartTourArgs(head="mast", tour="round")
TAKE = words.PtzAcquireArgs(head="mast", lease_s=1)
MOVE = words.PtzMoveArgs(head="mast", pan=0.5, for_s=10)
STOP = words.PtzStopArgs(head="mast")
LEASE_S = 5.0


class Interrupted(GuardTours):
    """Something else happens while a tour is started, such as a stop in its own thread."""

    happens: Callable[[], object] | None = None

    def start(self, name: str) -> None:
        super().start(name)
        if self.happens is not None:
            self.happens()


class Post:
    """A head at rest that has a tour of one stop; commands are done by the numbers they came in with."""

    def __init__(self, folder: Path) -> None:
        config = msgspec.structs.replace(
            PLAIN_CONFIG,
            lease_s=LEASE_S,
            tour=(TourConfig(name="round", stop=(TourStopConfig(preset="gate"),)),),
        )
        self.tours = Interrupted(config.tour, "UTC", lambda _: None, random.Random(1), print)
        self.rig = HeadRig(folder, config, movers=[self.tours]).start()
        self.rig.store_preset("gate", Pose(pan_deg=60, tilt_deg=0))
        self.head = self.rig.head
        self.verb = PtzCommandHandler(
            {"mast": HeadAssembly(head=self.head, guard_tours=self.tours)},
            self.rig.clock.boottime_ns,
        )

    def do(self, number: int, args: Any, requester: Requester = ANNA) -> words.PtzResult:
        order = ValidCommand(arrival_number=number, verb="ptz", id=str(number), requester=requester,
                      expires=self.rig.clock.utc(0), args=args, digest=b"")  # fmt: skip
        made = self.verb.run(order, RecordingProgressSink())
        assert isinstance(made, words.PtzResult)
        return made

    def lease(self) -> Lease | None:
        return self.head.state().lease

    def stands_s(self, seconds: float) -> bool:
        for _ in range(round(seconds * 10)):
            self.rig.advance_s(0.1)
            if self.rig.pose.pan_deg != 0:
                return False
        return True


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


@pytest.mark.parametrize("args", [TOUR_START, TAKE, MOVE], ids=lambda args: type(args).__name__)
def test_a_command_received_before_a_stop_is_not_executed_after_it(post: Post, args: Any) -> None:
    post.do(2, STOP, BRAHIM)
    with pytest.raises(CommandRejected, match="was stopped after this came in") as refused:
        post.do(1, args)
    assert refused.value.code == "expired"
    assert post.lease() is None
    assert post.tours.tour is None
    assert post.head.movers.is_paused(post.rig.clock.now_ns)
    assert post.stands_s(LEASE_S + 1)


def test_a_tour_started_during_a_stop_waits_like_a_running_one(post: Post) -> None:
    post.tours.happens = lambda: post.do(2, STOP, BRAHIM)
    post.do(1, TOUR_START)
    assert post.stands_s(LEASE_S - 0.1)
    post.rig.advance_s(4)
    assert post.head.state().preset == "gate"


def test_a_tour_started_after_a_stop_runs_at_once(post: Post) -> None:
    post.do(1, STOP, BRAHIM)
    post.do(2, TOUR_START)
    post.rig.advance_s(4)
    assert post.head.state().preset == "gate"


@pytest.mark.parametrize("requester", [INCIDENT, BRAHIM], ids=lambda requester: requester.role)
def test_a_lease_is_released_by_its_holder_only(post: Post, requester: Requester) -> None:
    post.do(1, MOVE)
    (head,) = post.do(2, words.PtzStatusArgs(head="mast"), requester).heads or ()
    assert head.lease is not None
    release = words.PtzReleaseArgs(head="mast", token=head.lease.token)
    with pytest.raises(CommandRejected, match=r"'anna' .* only its holder releases it") as refused:
        post.do(3, release, requester)
    assert refused.value.code == "stale_token"
    post.rig.advance_s(1)
    assert post.rig.speed > 0
    post.do(4, release)
    assert post.lease() is None
    # A released lease has no holder.
    post.do(5, release, requester)
