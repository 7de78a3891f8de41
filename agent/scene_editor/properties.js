// The form of the selected element: one field for each key of the scene file.

import { element } from "./dom.js";
import { shapeOf } from "./element_shape.js";
import { isArea, namesOf, tableAt } from "./elements.js";
import { deleteCorner } from "./handles.js";
import { isInMetres } from "./scene_metres.js";
import { LABELS, LINE_DEFAULTS, ZONE_DEFAULTS, ZONE_KINDS } from "./scene_schema.js";

const FIELDS = {
  line: [["name", "text"], ["forward_name", "text"], ["backward_name", "text"], ["events", "check"], ["labels", "labels"]],
  zone: [["name", "text"], ["kind", "kind"], ["direction_deg", "number"], ["stopped_after_s", "number"], ["parked_after_s", "number"], ["dwell_after_s", "number"], ["crowd_min_count", "number"], ["queue_min_count", "number"], ["object_after_s", "number"], ["hours", "lines"], ["events", "check"], ["labels", "labels"]],
  flow: [["name", "text"], ["from", "shape"], ["to", "shape"], ["labels", "labels"]],
  mask: [],
  ignore: [],
};
const DEFAULTS = { line: LINE_DEFAULTS, zone: ZONE_DEFAULTS, flow: {} };
/** Kinds of fields that choose one of several values. */
const CHOICES = ["kind", "shape"];
const DEFAULT_DIRECTION_DEG = 90;

/** A value as its field shows it: empty if it is of another type, which the check names. */
function shownValue(value, kind) {
  if (kind === "lines") return Array.isArray(value) ? value.join("\n") : "";
  if (kind === "number") return Number.isFinite(value) ? String(value) : "";
  return typeof value === "string" ? value : "";
}

/** The lines of a text, without empty ones, or undefined if there are none. */
function writtenLines(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.length ? lines : undefined;
}

export class Properties {
  #shown = "";
  #fields = [];

  constructor(editor) {
    this.editor = editor;
    this.node = element("div", { class: "properties" });
  }

  /** Show the selected element. Fields are made again only for another element: the focus stays. */
  update() {
    const { selection, language } = this.editor;
    const table = tableAt(this.editor.document.tables, selection);
    const key = table ? `${language} ${selection.list} ${selection.index}` : `${language} none`;
    if (key !== this.#shown) {
      this.#shown = key;
      this.#build(selection, table);
    }
    for (const update of this.#fields) update(table);
  }

  focusName() {
    const name = this.node.querySelector("input[name=name]");
    name?.focus();
    name?.select();
    return Boolean(name);
  }

  #build(selection, table) {
    const { editor } = this;
    this.#fields = [];
    this.node.replaceChildren();
    if (!table) {
      this.node.append(element("p", { class: "hint" }, editor.t("nothing_selected")));
      return;
    }
    this.node.append(element("h3", {}, editor.t(`list_${selection.list}`)), element("p", { class: "hint" }, editor.t(`about_${selection.list}`)));
    if (isInMetres(selection.list, table)) this.node.append(element("p", { class: "hint" }, editor.t("in_metres")));
    for (const [key, kind] of FIELDS[selection.list]) this.node.append(this.#field(selection, key, kind));
    const buttons = element("div", { class: "buttons" });
    if (selection.list === "line") buttons.append(this.#button("swap_directions", () => this.#swap(selection)));
    else if (isArea(selection.list)) buttons.append(this.#cornerButton(selection));
    buttons.append(this.#button("delete_element", () => editor.deleteSelected(), "danger"));
    this.node.append(buttons);
  }

  #button(textKey, click, className = "") {
    return element("button", { type: "button", class: className, "data-action": textKey, click }, this.editor.t(textKey));
  }

  #field(selection, key, kind) {
    if (kind === "labels") return this.#labels(selection);
    const { editor } = this;
    const id = `field-${key}`;
    const fallback = DEFAULTS[selection.list][key];
    const options = kind === "kind" ? ZONE_KINDS.map((name) => element("option", { value: name }, editor.t(`kind_${name}`))) : [];
    const input = CHOICES.includes(kind) ? element("select", { id, name: key }, ...options) : kind === "lines" ? element("textarea", { id, name: key, rows: 2, dir: "ltr", spellcheck: "false" }) : element("input", {
      id,
      name: key,
      type: { text: "text", number: "number", check: "checkbox" }[kind],
      dir: kind === "text" ? "auto" : null,
      step: kind === "number" ? "any" : null,
      maxlength: kind === "text" ? 200 : null,
      autocomplete: "off",
      spellcheck: "false",
      placeholder: kind === "text" ? fallback ?? null : null,
    });
    const problem = element("p", { class: "problem", id: `${id}-problem`, lang: "en", dir: "ltr" });
    const help = editor.hasText(`help_${key}`) ? element("p", { class: "hint", id: `${id}-help` }, editor.t(`help_${key}`)) : null;
    input.setAttribute("aria-describedby", `${id}-problem${help ? ` ${id}-help` : ""}`);
    if (kind === "text" || kind === "number" || kind === "lines") input.addEventListener("input", () => this.#changed(selection, key, kind, input));
    input.addEventListener("change", () => {
      this.#changed(selection, key, kind, input);
      editor.document.endStep();
    });
    const label = element("label", { for: id }, editor.t(`key_${key}`));
    const row = element("div", { class: `field ${kind}` }, ...(kind === "check" ? [input, label] : [label, input]), help, problem);
    if (key === "direction_deg") row.insertBefore(this.#arrowButton(selection), problem);
    this.#fields.push((table) => {
      row.hidden = key === "queue_min_count" && table.kind !== "queue" && table.queue_min_count === undefined;
      const value = table[key] ?? fallback;
      if (kind === "shape") this.#showNames(input, table[key]);
      if (kind === "check") input.checked = value === true;
      else if (document.activeElement !== input || CHOICES.includes(kind)) input.value = shownValue(table[key] ?? (kind === "kind" ? fallback : ""), kind);
      this.#showProblem(input, problem, selection, key);
    });
    return row;
  }

  /** The names of lines and zones, and `name` if none of them has it: the check says so. */
  #showNames(select, name) {
    const known = namesOf(this.editor.document.tables);
    const names = typeof name !== "string" || known.includes(name) ? known : [name, ...known];
    const isShown = select.length === names.length && names.every((each, at) => select.options[at].value === each);
    if (!isShown) select.replaceChildren(...names.map((each) => element("option", { value: each }, each)));
  }

  #showProblem(input, problem, selection, key) {
    const finding = this.editor.findings().find(({ path }) => path[0] === selection.list && path[1] === selection.index && path[2] === key);
    problem.textContent = finding?.message ?? "";
    problem.hidden = !finding;
    if (finding) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  #arrowButton(selection) {
    const { editor } = this;
    const button = element("button", { type: "button", class: "small", "data-action": "arrow", click: () => {
      const table = tableAt(editor.document.tables, selection);
      const hasArrow = table.direction_deg !== undefined;
      this.#set(selection, "direction_deg", hasArrow ? undefined : DEFAULT_DIRECTION_DEG);
      if (!hasArrow) editor.focusHandle("direction");
    } });
    this.#fields.push((table) => { button.textContent = editor.t(table.direction_deg === undefined ? "add_arrow" : "remove_arrow"); });
    return button;
  }

  /** Removes the corner that had the focus last: a finger has no key for that. */
  #cornerButton(selection) {
    const { editor } = this;
    const button = this.#button("remove_corner", () => {
      deleteCorner(editor, selection, editor.corner);
    });
    this.#fields.push((table) => {
      const corners = shapeOf(editor.document.tables, selection.list, table)?.corners;
      button.disabled = editor.corner === null || !corners?.[editor.corner];
      button.textContent = button.disabled ? editor.t("remove_corner") : editor.t("remove_corner_number", { number: editor.corner + 1 });
    });
    return button;
  }

  #labels(selection) {
    const { editor } = this;
    const boxes = LABELS.map((label) => {
      const id = `label-${label}`;
      const box = element("input", { type: "checkbox", id, name: label });
      return { label, box, row: element("div", { class: "field check" }, box, element("label", { for: id }, editor.t(`label_${label}`))) };
    });
    for (const { box } of boxes) {
      box.addEventListener("change", () => {
        const chosen = boxes.filter((each) => each.box.checked).map(({ label }) => label);
        this.#set(selection, "labels", chosen.length === LABELS.length ? undefined : chosen);
      });
    }
    const problem = element("p", { class: "problem", lang: "en", dir: "ltr" });
    this.#fields.push((table) => {
      const chosen = Array.isArray(table.labels) ? table.labels : LABELS;
      for (const { label, box } of boxes) box.checked = chosen.includes(label);
      this.#showProblem(boxes[0].box, problem, selection, "labels");
    });
    return element("fieldset", {}, element("legend", {}, editor.t("key_labels")), ...boxes.map(({ row }) => row), problem);
  }

  #changed(selection, key, kind, input) {
    if (kind === "check") this.#set(selection, key, input.checked === DEFAULTS[selection.list][key] ? undefined : input.checked);
    else if (CHOICES.includes(kind)) this.#set(selection, key, input.value);
    else if (kind === "number") this.#set(selection, key, input.value === "" ? undefined : Number(input.value), `field ${key}`);
    else if (kind === "lines") this.#set(selection, key, writtenLines(input.value), `field ${key}`);
    else this.#set(selection, key, input.value === "" && key !== "name" ? undefined : input.value, `field ${key}`);
  }

  /** Set a key of the element; undefined removes it. A key that another kind of zone has no use for goes with the kind. */
  #set(selection, key, value, merge = null) {
    const table = { ...tableAt(this.editor.document.tables, selection) };
    if (value === undefined) delete table[key];
    else table[key] = value;
    if (key === "kind" && value !== "queue") delete table.queue_min_count;
    this.editor.changeTable(selection, table, true, merge && `${merge} ${selection.list} ${selection.index}`);
  }

  /** Forward becomes backward: the ends of the line change places. */
  #swap(selection) {
    const table = tableAt(this.editor.document.tables, selection);
    const ends = isInMetres("line", table) ? { from_m: table.to_m, to_m: table.from_m } : { from: table.to, to: table.from };
    this.editor.changeTable(selection, { ...table, ...ends }, true);
  }
}
