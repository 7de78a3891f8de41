// A key and a button for each class and direction: two rows of the keyboard, one for each direction, a column for each class.

import { element } from "../dom.js";
import { DIRECTIONS } from "./count_state.js";

/** By their place on the keyboard, which is the same for each layout: the letters on them are those of the layout at hand. */
const ROWS = [["KeyQ", "KeyW", "KeyE", "KeyR", "KeyT", "KeyY"], ["KeyA", "KeyS", "KeyD", "KeyF", "KeyG", "KeyH"]];

export class Keypad {
  #buttons = new Map();
  #letters = new Map();
  node = element("div", { class: "count-keypad" });

  #language = null;

  /** `onKey(direction, label)` is called for a button. `t` returns a text, `directionName` the name of a direction. */
  constructor(labels, { t, directionName, onKey }) {
    this.t = t;
    this.directionName = directionName;
    for (const [row, direction] of DIRECTIONS.entries()) {
      for (const [column, label] of labels.entries()) {
        const button = element("button", { type: "button", "data-code": ROWS[row][column], click: () => onKey(direction, label) });
        this.#buttons.set(ROWS[row][column], { direction, label, button });
      }
    }
    /** Ends when the letters on the keys are known. */
    this.ready = this.#readLayout();
  }

  /** The direction and class of a key by its code, or undefined. */
  find(code) { return this.#buttons.get(code); }

  render(state, language) {
    if (language !== this.#language) this.node.replaceChildren(...this.#groups());
    this.#language = language;
    for (const [code, { direction, label, button }] of this.#buttons) {
      const total = state.total(direction, label);
      button.replaceChildren(
        element("kbd", {}, this.letter(code)), element("span", {}, this.t(`user_${label}`)),
        element("b", { class: "total" }, String(total)),
      );
    }
  }

  #groups() {
    const buttons = [...this.#buttons.values()];
    return DIRECTIONS.map((direction) => element(
      "fieldset", { class: "count-keys", "data-direction": direction },
      element("legend", {}, element("bdi", {}, this.directionName(direction))),
      buttons.filter((one) => one.direction === direction).map((one) => one.button),
    ));
  }

  letter(code) { return (this.#letters.get(code) ?? code.slice(-1)).toUpperCase(); }

  async #readLayout() {
    try {
      this.#letters = await navigator.keyboard.getLayoutMap();
    } catch {
      // A browser that has no such map: the letters are those of the layout of the United States.
    }
  }
}
