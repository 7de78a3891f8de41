// The lists next to the picture: the elements of the scene, and the result of the check.

import { element } from "./dom.js";
import { kindOf, nameOf } from "./elements.js";
import { findingWords } from "./finding_words.js";
import { ELEMENT_LISTS } from "./scene_schema.js";

export class ElementList {
  constructor(editor) {
    this.editor = editor;
    this.node = element("ul", { class: "elements" });
  }

  update() {
    const { editor } = this;
    const { tables } = editor.document;
    const focused = this.node.contains(document.activeElement) ? document.activeElement.dataset.row : null;
    const rows = ELEMENT_LISTS.flatMap((list) => (Array.isArray(tables[list]) ? tables[list] : []).map((table, index) => this.#row(list, index, table)));
    this.node.replaceChildren(...rows);
    if (!rows.length) this.node.append(element("li", { class: "hint" }, editor.t("no_elements")));
    if (focused) this.node.querySelector(`[data-row="${focused}"]`)?.focus();
  }

  #row(list, index, table) {
    const { editor } = this;
    const isSelected = editor.isSelected({ list, index });
    const kind = editor.t(`list_${list}`);
    const name = nameOf(table) ?? editor.t("numbered", { name: kind, number: index + 1 });
    const level = editor.findingLevels().get(`${list} ${index}`);
    const button = element("button", {
      type: "button",
      "data-row": `${list}-${index}`,
      "aria-pressed": String(isSelected),
      click: () => {
        if (editor.isSelected({ list, index })) editor.focusFirstHandle();
        else editor.select({ list, index });
      },
    }, element("span", { class: `swatch ${list} kind-${kindOf(table)}`, "aria-hidden": "true" }), element("bdi", {}, name), element("span", { class: "kind" }, kind));
    if (level) button.append(element("span", { class: `badge ${level}` }, editor.t(level)));
    return element("li", {}, button);
  }
}

export class FindingList {
  constructor(editor) {
    this.editor = editor;
    this.summary = element("p", { class: "summary", role: "status" });
    this.list = element("ul", { class: "findings" });
    this.node = element("section", { class: "check", "aria-labelledby": "check-title" }, element("h2", { id: "check-title" }), this.summary, this.list);
  }

  update() {
    const { editor } = this;
    const findings = editor.findings();
    const errors = findings.filter(({ level }) => level === "error").length;
    this.node.querySelector("h2").textContent = editor.t("check_title");
    const words = errors ? editor.t("check_errors", { count: errors }) : editor.t(findings.length ? "check_warnings" : "check_good", { count: findings.length });
    if (this.summary.textContent !== words) this.summary.textContent = words;
    this.node.dataset.level = errors ? "error" : findings.length ? "warning" : "good";
    this.list.replaceChildren(...findings.map((finding) => this.#row(finding)));
  }

  #row(finding) {
    const { editor } = this;
    const { path: [list, index], message, level } = finding;
    // The English words are those of the box: they are in the tooltip of a translation.
    const shown = editor.language === "en" ? message : findingWords(finding, (key, values) => editor.t(key, values));
    const attributes = shown === message ? { lang: "en", dir: "ltr" } : { title: message };
    const words = element("span", { ...attributes, class: "message" }, shown);
    const canSelect = typeof index === "number" && Array.isArray(editor.document.tables[list]);
    const content = canSelect ? element("button", { type: "button", click: () => editor.select({ list, index }) }, words) : words;
    return element("li", { class: level }, content);
  }
}
