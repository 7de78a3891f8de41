"""axe-core, the rules of accessibility, for the tests of pages in a real browser."""

import json
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parents[2] / ".cache" / "axe" / "node_modules" / "axe-core" / "axe.min.js"


def axe_violations(driver: Any) -> list[str]:
    """Each violation of the page that is shown, as `rule: elements`."""
    if not AXE.is_file():
        pytest.skip("needs axe-core: make setup-test")
    # Through the protocol: the page's own policy allows no other script.
    driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    script = "const done = arguments[0]; axe.run(document).then((found) => done(JSON.stringify(found.violations)));"
    return [
        f"{each['id']}: {[node['html'][:160] for node in each['nodes']]}"
        for each in json.loads(driver.execute_async_script(script))
    ]
