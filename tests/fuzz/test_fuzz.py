"""Each parser of foreign input against its corpus and random mutations: the short form of `make fuzz`."""

import random

import pytest

from tests.fuzz.streams import ONVIF_SEED, run_onvif
from tests.fuzz.target import CORPUS_DIR, load_corpus, mutate
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_refuses_any_input_by_its_own_errors_alone(name: str) -> None:
    target = TARGETS[name]
    seeds = [*target.seeds(), *load_corpus(name)]
    rng = random.Random(name)
    for data in (*seeds, *(mutate(rng, seeds) for _ in range(target.mutations))):
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"{name}: the input was {data!r}")
            raise


def test_each_folder_of_the_corpus_is_of_a_target() -> None:
    assert {folder.name for folder in CORPUS_DIR.iterdir()} <= set(TARGETS)


def test_a_malformed_answer_of_a_camera_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_onvif(b"\x05" + ONVIF_SEED.replace(b"2026-11-25T", b"soon") * 20)
    run_onvif(b"\x05" + ONVIF_SEED.replace(b"2026-11-25T", b"soon"))
    assert caplog.records == []
