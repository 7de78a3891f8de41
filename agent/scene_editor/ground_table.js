// The marks of the ground as a table: each with its metres or degrees, its own error, and a button that deletes it.

import { element } from "./dom.js";

/** Columns of values: [key in the mark, index in it or null, key of the texts, smallest, largest, step]. */
const COLUMNS = {
  metres: [["metres", 0, "ground_x", -10000, 10000, 0.01], ["metres", 1, "ground_y", -10000, 10000, 0.01]],
  position: [["position", 0, "ground_latitude", -85, 85, 1e-7], ["position", 1, "ground_longitude", -180, 180, 1e-7]],
  length: [["metres", null, "ground_metres", 0.5, 1000, 0.01]],
};

export class GroundTable {
  #editor;
  #marks;
  #container;
  #built = null;

  constructor(editor, marks, container) {
    this.#editor = editor;
    this.#marks = marks;
    this.#container = container;
  }

  /** Show the marks, with the errors of a plane or without. The inputs are kept while their rows stay the same. */
  show(plane) {
    const { points, lengths, straights, kind, table } = this.#marks;
    const shape = JSON.stringify([points.length, lengths.length, straights.length, kind, this.#editor.language]);
    if (shape !== this.#built) {
      this.#built = shape;
      this.#build();
    }
    for (const input of this.#container.querySelectorAll("input")) {
      if (input === document.activeElement) continue;
      input.value = this.#valueOf(input) ?? table[input.dataset.key] ?? "";
    }
    const errors = plane?.markErrorsM ?? [];
    for (const cell of this.#container.querySelectorAll("[data-error]")) {
      const index = Number(cell.dataset.error);
      const isAside = plane?.setAside.includes(index) ?? false;
      cell.classList.toggle("aside", isAside);
      cell.textContent = isAside ? this.#editor.t("ground_aside") : Number.isFinite(errors[index]) ? `${errors[index].toFixed(2)} m` : "–";
    }
  }

  /** Put the focus into the first value of the newest mark. */
  focusLast(list) {
    const inputs = [...this.#container.querySelectorAll(`input[data-list=${list}]`)];
    const last = inputs.filter((input) => input.dataset.index === inputs.at(-1).dataset.index);
    last[0]?.focus();
    last[0]?.select();
  }

  #build() {
    const { points, lengths, straights, kind } = this.#marks;
    const t = (key, values) => this.#editor.t(key, values);
    this.#container.replaceChildren();
    if (lengths.length) {
      const input = element("input", {
        type: "number", min: 1, max: 100, step: 0.01, dir: "ltr", "data-key": "camera_height_m",
        input: () => this.#take(input, (value) => this.#marks.set(null, null, "camera_height_m", value)),
      });
      this.#container.append(element("label", { class: "field" }, element("span", {}, t("ground_camera_height")), input));
    }
    if (points.length) this.#addTable("point", points, COLUMNS[kind], t);
    if (lengths.length) this.#addTable("length", lengths, COLUMNS.length, t);
    if (straights.length) this.#addTable("straight", straights, [], t);
  }

  #addTable(list, rows, columns, t) {
    const heads = [t(`ground_${list}`), ...columns.map(([, , key]) => t(key))];
    if (list !== "straight") heads.push(t("ground_own_error"));
    const table = element("table", { class: "ground-marks" },
      element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)), element("td")));
    rows.forEach((_, index) => {
      const cells = columns.map((column) => element("td", {}, this.#input(list, index, column, t)));
      if (list !== "straight") cells.push(element("td", { "data-error": index, dir: "ltr" }));
      table.append(element("tr", {},
        element("th", { scope: "row" }, String(index + 1)), ...cells,
        element("td", {}, element("button", {
          type: "button", class: "delete", "aria-label": t(`ground_delete_${list}`, { number: index + 1 }),
          click: () => this.#marks.delete(list, index),
        }, "✕"))));
    });
    this.#container.append(table);
  }

  #input(list, index, [key, part, textKey, min, max, step], t) {
    const input = element("input", {
      type: "number", min, max, step, dir: "ltr", "data-list": list, "data-index": index, "data-key": key, "data-part": part ?? "",
      "aria-label": t("ground_value", { number: index + 1, value: t(textKey) }),
      input: () => this.#take(input, (value) => {
        if (part === null) this.#marks.set(list, index, key, value);
        else this.#marks.set(list, index, key, this.#marks.table[list][index][key].map((old, at) => (at === part ? value : old)));
      }),
    });
    return input;
  }

  #valueOf({ dataset: { list, index, key, part } }) {
    const value = this.#marks.table[list]?.[index]?.[key];
    return Array.isArray(value) ? value[Number(part)] : value;
  }

  #take(input, use) {
    const value = input.valueAsNumber;
    const isAllowed = Number.isFinite(value) && value >= Number(input.min) && value <= Number(input.max);
    input.setAttribute("aria-invalid", String(!isAllowed));
    if (isAllowed) use(value);
  }
}
