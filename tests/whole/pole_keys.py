"""The page at the pole by keys alone: the tabulator, and keys for the control that has the focus."""

from collections.abc import Sequence

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.whole.pole_phone import PolePhone

SCROLLED_AREAS = 12
"""The tabulator stops at areas that scroll too: more of these than a view has."""
_WATCH = """
    const [wanted] = arguments;
    const clean = (text) => text.replace(/[\u2068\u2069]/g, "").trim();
    const named = (one) => clean(one.getAttribute("aria-label") ?? one.labels?.[0]?.innerText ?? one.innerText ?? "");
    const controls = "a[href], button, summary, select, input, textarea, [tabindex='0']";
    const canHaveFocus = (one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0 && !one.matches("svg *");
    if (window.walk === undefined) {
        document.addEventListener("focusin", ({ target }) => {
            window.walk.reached.add(target);
            // The button over a field for files shows the field's focus.
            const shown = target.matches(".file input") ? target.nextElementSibling : target;
            const isHere = target.matches(controls) && !target.matches("svg *");
            if (isHere && getComputedStyle(shown).outlineStyle === "none") window.walk.faint.push(target);
        });
        // Keys are sent in one go: the walk ends at the control that is looked for.
        document.addEventListener("keydown", (press) => {
            const { wanted } = window.walk;
            const isThere = wanted !== null && document.activeElement.matches(controls) && named(document.activeElement).startsWith(wanted);
            if (press.key === "Tab" && isThere) press.preventDefault();
        }, { capture: true });
        window.focusedName = () => named(document.activeElement);
    }
    const all = [...document.querySelectorAll(controls)].filter(canHaveFocus);
    window.walk = { all, wanted, reached: new Set(), faint: [] };
    document.querySelector(".skip").focus();
    return all.length;
"""
_MISSED = """
    const { all, reached, faint } = window.walk;
    const groups = new Set([...reached].filter((one) => one.type === "radio").map((one) => one.name));
    const missed = all.filter((one) => one.isConnected && !reached.has(one) && !(one.type === "radio" && groups.has(one.name)));
    const shown = (one) => one.outerHTML.slice(0, 100);
    return [...missed.map((one) => `not reached: ${shown(one)}`), ...faint.map((one) => `no outline: ${shown(one)}`)];
"""


class PoleKeys:
    """Keys that are pressed at a phone's page."""

    def __init__(self, phone: PolePhone) -> None:
        self._phone = phone

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        ActionChains(self._phone.driver).send_keys(*keys).perform()

    def use(self, name: str, *keys: str) -> None:
        """Go to a control by the tabulator, from the page's begin on, and press keys there, by default Enter."""
        self._phone.find(name)
        self._walk(name)
        focused = str(self._phone.run("return window.focusedName()"))
        assert focused.startswith(name), (
            f"{name!r} is not reached by the tabulator, but {focused!r}"
        )
        self.press(*(keys or (Keys.ENTER,)))

    def show_view(self, name: str) -> None:
        """Open another view. Its content has the focus then."""
        self.use(name)
        script = "return document.activeElement.id === 'main' && document.querySelector('.views [aria-current]').innerText.trim()"
        self._phone.wait(lambda: self._phone.run(script) == name, f"view {name}")

    def find_unreached(self) -> Sequence[str]:
        """Return the controls that the tabulator does not reach, and those that do not show that they have the focus."""
        self._walk(None)
        missed: list[str] = self._phone.run(_MISSED)
        return missed

    def _walk(self, wanted: str | None) -> None:
        """Press the tabulator through the whole page, up to a control whose name begins with `wanted`."""
        count = int(self._phone.run(_WATCH, wanted))
        self.press(Keys.TAB * (count + SCROLLED_AREAS))
