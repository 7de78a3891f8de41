// The panels next to the picture, one tab each.

import { element } from "./dom.js";
import { tabAfterKey } from "./tab_keys.js";

export class SidePanel {
  #tabs = [];

  constructor(editor) {
    this.editor = editor;
    this.bar = element("div", { class: "tabs", role: "tablist" });
    editor.bindText(this.bar, "group_panels", "aria-label");
    this.node = element("div", { class: "panels" }, this.bar);
    this.bar.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Add a panel; `mount(container, editor)` fills it at once. While one with a `document` is shown, that is undone and saved. */
  add({ id, textKey, mount, document: edited = null }) {
    const tab = element("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`, click: () => this.show(id) });
    this.editor.bindText(tab, textKey);
    const container = element("section", { class: `panel panel-${id}`, role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}` });
    this.#tabs.push({ id, tab, container, document: edited });
    this.bar.append(tab);
    this.node.append(container);
    mount(container, this.editor);
    this.show(this.#tabs[0].id);
  }

  /** The document that is undone and saved: that of the shown panel, or the scene. */
  get edited() { return this.#tabs.find(({ container }) => !container.hidden)?.document ?? this.editor.document; }
  get isSaved() { return [this.editor, ...this.#tabs].every((each) => each.document?.isSaved ?? true); }

  show(id) {
    for (const each of this.#tabs) {
      const isShown = each.id === id;
      each.tab.setAttribute("aria-selected", String(isShown));
      each.tab.tabIndex = isShown ? 0 : -1;
      each.container.hidden = !isShown;
    }
    // Some panels draw on the picture while they are shown.
    this.editor.checkAgain();
  }

  #onKey(event) {
    const at = this.#tabs.findIndex(({ tab }) => tab === document.activeElement);
    const next = tabAfterKey(event, this.bar, at, this.#tabs.length);
    if (next === null) return;
    this.show(this.#tabs[next].id);
    this.#tabs[next].tab.focus();
  }
}
