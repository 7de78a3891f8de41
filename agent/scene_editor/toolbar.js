// The bar above the picture, and the one below it while something is drawn.

import { element, icon } from "./dom.js";
import { SELECT_ICON } from "./draw_tools.js";
import { LANGUAGES } from "./texts.js";

const ZOOM = 1.4;
const ICONS = {
  undo: "M8 5L3 10l5 5M3 10h11a6 6 0 0 1 0 12h-3",
  redo: "M16 5l5 5l-5 5M21 10H10a6 6 0 0 0 0 12h3",
  snap: "M5 3v9a7 7 0 0 0 14 0V3h-5v9a2 2 0 0 1-4 0V3zM5 7h5M14 7h5",
  zoom_out: "M5 12h14",
  zoom_in: "M5 12h14M12 5v14",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  open: "M3 6h6l2 3h10v11H3z",
  save: "M5 3h11l3 3v15H5zM8 3v6h7V3M8 21v-7h8v7",
};

export class Toolbar {
  #updates = [];
  #tools = element("div", { class: "group", role: "group" });

  constructor(editor, actions) {
    this.editor = editor;
    this.node = element("div", { class: "toolbar" }, this.#tools);
    editor.bindText(this.#tools, "group_tools", "aria-label");
    this.addTool({ id: "select", textKey: "tool_select", key: "v", icon: SELECT_ICON }, null);
    this.#group("group_edit", [
      this.#button("undo", () => editor.panel.edited.undo(), () => ({ disabled: !editor.panel.edited.canUndo })),
      this.#button("redo", () => editor.panel.edited.redo(), () => ({ disabled: !editor.panel.edited.canRedo })),
      this.#button("snap", () => editor.toggleSnapping(), () => ({ "aria-pressed": String(editor.isSnapping) })),
    ]);
    this.#group("group_view", [
      this.#button("zoom_out", () => editor.viewport.zoomBy(1 / ZOOM)),
      this.#button("fit", () => editor.viewport.fit()),
      this.#button("zoom_in", () => editor.viewport.zoomBy(ZOOM)),
    ]);
    const files = editor.options.canOpenFiles === false ? [] : [this.#openButton()];
    this.#group("group_file", [...files, ...actions.map((action) => this.#actionButton(action))]);
  }

  addTool(tool, value) {
    const button = this.#button(tool.id, () => this.editor.setTool(this.editor.tool === value ? null : value), () => ({ "aria-pressed": String(this.editor.tool === value) }), tool);
    button.setAttribute("aria-keyshortcuts", tool.key);
    this.#tools.append(button);
  }

  update() {
    for (const update of this.#updates) update();
  }

  #group(textKey, buttons) {
    const group = element("div", { class: `group ${textKey}`, role: "group" }, ...buttons);
    this.editor.bindText(group, textKey, "aria-label");
    this.node.append(group);
  }

  #button(id, click, state = () => ({}), { textKey = `action_${id}`, hintKey = textKey, icon: path = ICONS[id], className = "" } = {}) {
    const label = element("span", { class: "label" });
    const button = element("button", { type: "button", "data-action": id, class: className, click }, path ? icon(path) : null, label);
    this.editor.bindText(label, textKey);
    this.editor.bindText(button, hintKey, "title");
    this.#updates.push(() => {
      for (const [name, value] of Object.entries(state())) {
        if (name === "disabled") button.disabled = value;
        else button.setAttribute(name, value);
      }
    });
    return button;
  }

  #actionButton(action) {
    const className = action.primary ? "primary" : "";
    return this.#button(action.id, () => this.editor.run(action), () => ({}), { textKey: action.textKey, icon: action.icon ?? ICONS[action.id], className });
  }

  #openButton() {
    const input = element("input", { type: "file", multiple: true, hidden: true, id: "open-files", change: async () => {
      await this.editor.openFiles([...input.files]);
      input.value = "";  // so that the same file can be opened again
    } });
    const button = this.#button("open", () => input.click());
    return element("span", {}, button, input);
  }
}

/** Hints and buttons of the tool in use: a finger has neither Enter nor Escape. */
export class DrawingBar {
  constructor(editor) {
    this.editor = editor;
    this.hint = element("p", { class: "hint" });
    this.buttons = [
      this.#button("draw_finish", () => editor.tool.onFinish?.(editor)),
      this.#button("draw_back", () => editor.tool.onBackspace?.(editor)),
      this.#button("draw_cancel", () => editor.cancelTool()),
    ];
    this.node = element("div", { class: "drawing-bar" }, this.hint, element("div", { class: "buttons" }, ...this.buttons));
  }

  update() {
    const { tool } = this.editor;
    this.node.hidden = !tool;
    if (!tool) return;
    this.hint.textContent = this.editor.t(tool.hintKey ?? "hint_tool");
    const [finish, back] = this.buttons;
    finish.hidden = !tool.onFinish;
    back.hidden = !tool.onBackspace;
    finish.disabled = back.disabled = tool.isDrawing === false;
  }

  #button(textKey, click) {
    const button = element("button", { type: "button", "data-action": textKey, click });
    this.editor.bindText(button, textKey);
    return button;
  }
}

export class LanguageSwitch {
  constructor(editor) {
    this.editor = editor;
    const buttons = Object.entries(LANGUAGES).map(([language, name]) => element("button", { type: "button", lang: language, "data-lang": language, click: () => editor.setLanguage(language) }, name));
    this.node = element("div", { class: "languages", role: "group" }, ...buttons);
    editor.bindText(this.node, "group_language", "aria-label");
  }

  update() {
    for (const button of this.node.children) button.setAttribute("aria-pressed", String(button.dataset.lang === this.editor.language));
  }
}
