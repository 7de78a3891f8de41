"""agent.runtime.log_limit: what fails again and again does not fill the journal."""

import io
import logging

import pytest

from agent.runtime.log_limit import INTERVAL_S, MAX_INFOS, MAX_WARNINGS, LogRateLimit


class Journal:
    """A logger whose handler has a rate limit, at a time of the test's own."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.addFilter(LogRateLimit(lambda: self.now_s))
        self.log = logging.getLogger(f"somewhere.{id(self)}")
        self.log.setLevel(logging.INFO)
        self.log.propagate = False
        self.log.addHandler(handler)

    def refuse(self, times: int = 1) -> None:
        for number in range(times):
            self.log.warning("refused: %d", number)

    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


@pytest.fixture
def journal() -> Journal:
    return Journal()


def test_a_refusal_in_a_loop_makes_few_lines(journal: Journal) -> None:
    journal.refuse(4374)
    lines = journal.lines()
    assert len(lines) == MAX_WARNINGS
    assert lines[0] == "refused: 0"
    assert lines[-1] == "refused: 19 (more such lines are left out for up to 60 s)"


def test_the_next_interval_states_how_many_were_left_out(journal: Journal) -> None:
    journal.refuse(4374)
    journal.now_s = INTERVAL_S
    journal.refuse(2)
    assert journal.lines()[MAX_WARNINGS:] == [
        "refused: 0 (4354 such lines were left out)",
        "refused: 1",
    ]


def test_another_line_of_code_has_a_limit_of_its_own(journal: Journal) -> None:
    journal.refuse(1000)
    journal.log.error("the disk fails")
    assert journal.lines()[-1] == "the disk fails"


def test_commands_of_an_operator_are_all_logged(journal: Journal) -> None:
    for number in range(MAX_INFOS):
        journal.log.info("command %d: done", number)
    journal.log.info("another line of code")
    assert len(journal.lines()) == MAX_INFOS + 1
