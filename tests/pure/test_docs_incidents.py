"""docs/incidents.md and the code: its order is taken, and its report is one."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from agent.base.model import IncidentReport
from agent.incident.order import parse_unsigned_order

PAGE = (Path(__file__).parents[2] / "docs" / "incidents.md").read_text(encoding="utf-8")


def test_the_order_of_the_page_is_taken() -> None:
    found = re.search(r"incident/2026-118 -m '(.*?)'\n```", PAGE, re.DOTALL)
    assert found
    signed = parse_unsigned_order(found[1].encode())
    assert signed.order.to.include("x", "y", ("zerktouni",))
    assert signed.order.id == "2026-118"
    assert signed.order.heads is not None
    assert signed.order.heads.preset_of("x", "mast") == "junction"


def test_the_report_of_the_page_is_one() -> None:
    found = re.search(r"^```json IncidentReport\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    report = msgspec.json.decode(found[1], type=IncidentReport)
    written: Any = json.loads(msgspec.json.encode(report))
    assert written == json.loads(found[1])
