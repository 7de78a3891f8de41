"""A proof of counts reaches a running box, stands in its counts and its declaration, and falls with the scene."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.count_proof import CountValidation, ValidatedCounts
from agent.config.broker import BrokerConfig
from agent.config.configuration import DetectConfig
from agent.detection.model_card import find_sha256
from agent.detection.scene import load_scene, scene_digest
from agent.reporting import topics
from agent.reporting.payloads import DeclarationMessage, TrafficCountsMessage
from centre.client import ReceivedMessage
from tests.count_proofs import count_proof, light_proof
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient
from tests.whole.rig import AgentBox, RunningCentre, fake_camera_toml

BOX = "casa-0001"
OTHER_SCENE = '[[line]]\nname = "other"\nfrom = [0.1, 0.5]\nto = [0.9, 0.5]\n'


class Centre:
    """Sends versions to one box, and receives how right its counts are."""

    def __init__(self, url: str, folder: Path) -> None:
        self._sender = BareClient(BrokerConfig(url=url), "operator")
        self._receiver = RunningCentre(url, folder / "centre.db")

    def send(self, version: int, **fields: Any) -> None:
        """Publish a version, retained."""
        message = {"box": BOX, "version": version, "by": "amina", "role": "supervisor", **fields}
        topic = topics.down_topic(BOX, "config")
        self._sender.publish(topic, msgspec.json.encode(message), retained=True)

    def wait_for_declared(self, state: str) -> None:
        """Wait until the newest declaration has this of the counts by day."""

        def is_declared(received: list[ReceivedMessage]) -> bool:
            declared = [
                one.message.data.cameras[0].validation
                for one in received
                if isinstance(one.message, DeclarationMessage)
            ]
            return bool(declared and declared[-1]) and state_of(declared[-1][0]) == state

        self._receiver.wait_for(is_declared, f"declaration with {state}")

    def wait_for_counts(self, state: str) -> None:
        """Wait until a minute has this of its counts."""

        def has_come(received: list[ReceivedMessage]) -> bool:
            return any(
                isinstance(one.message, TrafficCountsMessage)
                and one.message.data.validation is not msgspec.UNSET
                and state_of(one.message.data.validation) == state
                for one in received
            )

        self._receiver.wait_for(has_come, f"counts with {state}")

    def close(self) -> None:
        self._sender.link.abort()
        self._receiver.close()


def state_of(validation: CountValidation) -> str:
    return "validated" if isinstance(validation, ValidatedCounts) else validation.reason


@pytest.fixture
def centre(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Centre]:
    made = Centre(mosquitto.url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def pole(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    box = AgentBox(tmp_path / "box", mosquitto.url)
    yield box
    box.kill()


def test_a_proof_stands_in_counts_and_declaration_until_another_scene_is_in_force(
    pole: AgentBox, centre: Centre
) -> None:
    model = find_sha256(DetectConfig().model)
    scene = scene_digest(load_scene(pole.folder / "scene.toml"))
    lights = (light_proof("day"), light_proof("night"))
    proof = msgspec.to_builtins(
        count_proof(*lights, model_sha256=model, scene_sha256=scene, detect_fps=0.1)
    )
    pole.start()
    centre.wait_for_declared("no_proof")
    pid = pole.pid
    centre.send(1, proofs={"north": proof})
    centre.wait_for_declared("validated")
    # Another scene ends the minute.
    centre.send(2, proofs={"north": proof}, scenes={"north": OTHER_SCENE})
    centre.wait_for_counts("validated")
    centre.wait_for_declared("scene")
    centre.send(3, proofs={"north": proof})
    centre.wait_for_counts("scene")
    centre.wait_for_declared("validated")
    assert pole.pid == pid
    assert pole.stop(signal.SIGTERM) == 0


def test_a_proof_of_more_pictures_a_second_than_the_stream_has_does_not_hold(
    mosquitto: Mosquitto, tmp_path: Path, centre: Centre
) -> None:
    pole = AgentBox(tmp_path / "box", mosquitto.url, fake_camera_toml("fps = 5"))
    scene = scene_digest(load_scene(pole.folder / "scene.toml"))
    proofs = [
        msgspec.to_builtins(
            count_proof(
                light_proof("day"),
                model_sha256=find_sha256(DetectConfig().model),
                scene_sha256=scene,
                detect_fps=fps,
            )
        )
        for fps in (10.0, 5.0)
    ]
    pole.start()
    centre.send(1, proofs={"north": proofs[0]})
    centre.wait_for_declared("frame_rate")
    centre.send(2, proofs={"north": proofs[1]})
    centre.wait_for_declared("validated")
    assert pole.stop(signal.SIGTERM) == 0
