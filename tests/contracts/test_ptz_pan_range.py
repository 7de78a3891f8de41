"""A range of pan that reaches across the back: each driver turns as the head counts it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.contracts import Pose, Range
from drivers.visca_options import Options as ViscaOptions
from simulation.heads.pelco_device import PelcoDevice
from simulation.heads.visca_device import ViscaCameraChain
from tests.contracts.heads import (
    MECHANICS,
    PELCO_MISSING,
    QUERIED_OPTIONS,
    VISCA_OPTIONS,
    FakeHeadBench,
    HeadBench,
    SerialHeadBench,
    SimulatedRig,
)

SPAN = Range(low=0, high=355)
ACROSS_THE_BACK: Mapping[str, Any] = {"pan_deg": msgspec.to_builtins(SPAN)}
BODY = msgspec.structs.replace(MECHANICS, pan_deg=SPAN)
VISCA = {**VISCA_OPTIONS, **ACROSS_THE_BACK}
VISCA_SPECS = msgspec.convert(VISCA | {"port": "/dev/null"}, ViscaOptions).specs
BENCHES: dict[str, HeadBench] = {
    "fake": FakeHeadBench(**ACROSS_THE_BACK),
    "pelco_p query": SerialHeadBench(
        "pelco_p",
        lambda body: PelcoDevice(body, "P", 0),
        {**QUERIED_OPTIONS, **ACROSS_THE_BACK},
        BODY,
        PELCO_MISSING,
    ),
    "visca": SerialHeadBench(
        "visca", lambda body: ViscaCameraChain([body], VISCA_SPECS), VISCA, BODY
    ),
}
RESTS_DEG = ((-90, 270), (100, 100), (-170, 190), (180, 180), (-2, 0), (-4, 355))


@pytest.mark.parametrize("bench", BENCHES.values(), ids=BENCHES)
def test_a_head_goes_to_a_pose_across_the_back(bench: HeadBench, tmp_path: Path) -> None:
    with bench.set_up(tmp_path) as rig:
        assert isinstance(rig, SimulatedRig)
        for pan_deg, rest_deg in RESTS_DEG:
            rig.head.goto(Pose(pan_deg=pan_deg, tilt_deg=0), 1.0)
            rig.advance_s(30)
            assert rig.state().pan_deg == pytest.approx(rest_deg, abs=0.1)
        assert rig.head.read_position().pose.pan_deg == pytest.approx(-5, abs=0.1)
