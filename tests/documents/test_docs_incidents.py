"""docs/incidents.md: its order is taken."""

import re
from pathlib import Path

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
