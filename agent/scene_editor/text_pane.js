// The scene file as text. Typing changes the picture at once, and the other way round.

import { element } from "./dom.js";

export class TextPane {
  constructor(editor) {
    this.editor = editor;
    this.label = element("label", { for: "scene-text" });
    this.area = element("textarea", { id: "scene-text", spellcheck: "false", autocomplete: "off", autocapitalize: "off", dir: "ltr", rows: "22" });
    this.problem = element("p", { class: "problem", lang: "en", dir: "ltr", id: "scene-text-problem" });
    this.area.setAttribute("aria-describedby", "scene-text-problem");
    this.area.addEventListener("input", () => editor.document.setText(this.area.value));
    this.area.addEventListener("blur", () => {
      editor.document.endStep();
      this.update();
    });
    this.node = element("div", { class: "text-pane" }, this.label, this.area, this.problem);
  }

  update() {
    const { document: scene } = this.editor;
    this.label.textContent = this.editor.t("text_label", { name: scene.name });
    const isTyping = document.activeElement === this.area;
    if (!isTyping && this.area.value !== scene.text) this.area.value = scene.text;
    this.problem.textContent = scene.syntaxError ?? "";
    this.problem.hidden = !scene.syntaxError;
    this.area.setAttribute("aria-invalid", String(Boolean(scene.syntaxError)));
  }
}
