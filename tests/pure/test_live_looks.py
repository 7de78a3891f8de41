"""agent.capture.live_looks: each look has a receipt of its begin before anything is sent, and one end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.live_looks import MAX_LOOKS
from agent.commands.requester import CommandRejected, Requester
from tests.conftest import ManualClock
from tests.pure.live_rig import AMINA, OMAR, LookRig


def test_a_look_has_a_receipt_of_its_begin_and_one_of_its_end(clock: ManualClock) -> None:
    rig = LookRig(clock)
    look = rig.make()
    rig.looks.begin(look)
    assert rig.begun == [look]
    look.count(1000)
    look.count(500)
    clock.advance_s(2.5)
    (ended,) = rig.looks.end(lambda _: True, "expired", "it was over")
    assert (ended.duration_s, ended.sent, ended.size_bytes) == (2.5, 2, 1500)
    assert rig.ended == [(look, ended)]
    assert rig.answers[0].ended == (ended,)
    assert rig.looks.end(lambda _: True, "expired") == ()


def test_a_look_without_a_receipt_does_not_begin(clock: ManualClock) -> None:
    rig = LookRig(clock)
    rig.disk_error = OSError("no space left")
    with pytest.raises(CommandRejected, match="no look without its receipt"):
        rig.looks.begin(rig.make())
    assert rig.looks.running() == ()


def test_a_look_that_cannot_be_extended_runs_on_to_its_own_end(clock: ManualClock) -> None:
    rig = LookRig(clock)
    rig.looks.begin(first := rig.make())
    rig.disk_error = OSError("no space left")
    with pytest.raises(CommandRejected):
        rig.looks.begin(rig.make())
    assert rig.looks.running() == (first,)
    assert rig.reasons() == []


def test_a_repeat_of_the_same_requester_extends_the_look(clock: ManualClock) -> None:
    rig = LookRig(clock)
    rig.looks.begin(rig.make())
    rig.looks.begin(second := rig.make())
    assert rig.reasons() == ["extended"]
    assert rig.looks.running() == (second,)
    assert len(rig.begun) == 2


def test_looks_of_other_requesters_and_cameras_are_their_own(clock: ManualClock) -> None:
    rig = LookRig(clock)
    for camera, by in (("north", AMINA), ("north", OMAR), ("south", AMINA)):
        rig.looks.begin(rig.make(camera, by))
    rig.looks.end(lambda look: look.requester == OMAR, "stopped")
    assert [(look.camera, look.requester) for look in rig.looks.running()] == [
        ("north", AMINA),
        ("south", AMINA),
    ]


def test_looks_are_bounded(clock: ManualClock) -> None:
    rig = LookRig(clock)
    requesters = [Requester(id=f"r{number}", role="operator") for number in range(MAX_LOOKS)]
    for by in requesters:
        rig.looks.begin(rig.make(by=by))
    with pytest.raises(CommandRejected, match="16 looks run already"):
        rig.looks.begin(rig.make())
    rig.looks.begin(rig.make(by=requesters[0]))
    assert len(rig.looks.running()) == MAX_LOOKS


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["begin", "end"]), st.sampled_from("abc")), max_size=40
    )
)
def test_every_begun_look_ends_once_with_a_receipt_and_an_answer(
    steps: list[tuple[str, str]],
) -> None:
    rig = LookRig(ManualClock())
    for action, name in steps:
        by = Requester(id=name, role="operator")
        if action == "begin":
            rig.looks.begin(rig.make(by=by))
        else:
            rig.looks.end(lambda look, by=by: look.requester == by, "stopped")  # type: ignore[misc]
    rig.looks.end(lambda _: True, "stopped")
    assert sorted(id(look) for look in rig.begun) == sorted(id(look) for look, _ in rig.ended)
    assert len(rig.answers) == len(rig.begun)
