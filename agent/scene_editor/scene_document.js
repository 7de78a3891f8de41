// The scene that is edited: its TOML text, its tables, its mistakes, undo. The text is the truth; comments are kept.

import { checkScene, placeScene } from "./scene_check.js";
import { parseToml, patchToml } from "./toml_text.js";

const MAX_UNDO_STEPS = 500;

/** A scene file: how its text is written again, what is drawn of it, and its mistakes. */
const SCENE = { write: patchToml, place: placeScene, check: checkScene };

export class SceneDocument {
  #listeners = new Set();
  #undo = [];
  #redo = [];
  #mergeKey = null;
  #savedText;
  #kind;

  /** `name` begins the messages, such as "scene.toml". `kind` is that of another file than a scene, with the functions of SCENE. */
  constructor(text, name, kind = SCENE) {
    this.name = name;
    this.#kind = kind;
    this.tables = {};
    this.placed = {};
    this.#savedText = text;
    this.#read(text);
  }

  get canUndo() { return this.#undo.length > 0; }
  get canRedo() { return this.#redo.length > 0; }
  get isNew() { return !this.text && !this.#savedText && !this.canUndo && !this.canRedo; }
  get isSaved() { return this.text === this.#savedText; }

  /** Calls `listener` after each change. Returns the function that ends it. */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Note that `text` is saved: the person may have typed on meanwhile. */
  markSaved(text = this.text) {
    this.#savedText = text;
    this.#tell();
  }

  /**
   * Change a copy of the tables, and patch the text. One step of undo; steps in a row with the same `merge` are one.
   * Throws an Error if the text is not TOML at the moment, or if it cannot be changed.
   */
  edit(change, { merge = null } = {}) {
    if (this.syntaxError) throw new Error(this.syntaxError);
    const draft = structuredClone(this.tables);
    change(draft);
    const text = this.#kind.write(this.text, draft);
    if (text !== this.text) this.#replace(text, merge);
  }

  /** Replace the whole text, as typed by a person: a row of such steps is one. */
  setText(text) {
    if (text !== this.text) this.#replace(text, "text");
  }

  undo() { this.#step(this.#undo, this.#redo); }
  redo() { this.#step(this.#redo, this.#undo); }

  /** Begin a new step of undo with the next change, whatever its `merge`. */
  endStep() { this.#mergeKey = null; }

  #replace(text, merge) {
    if (merge === null || merge !== this.#mergeKey) {
      this.#undo.push(this.text);
      if (this.#undo.length > MAX_UNDO_STEPS) this.#undo.shift();
    }
    this.#redo.length = 0;
    this.#mergeKey = merge;
    this.#read(text);
    this.#tell();
  }

  #step(from, to) {
    if (!from.length) return;
    to.push(this.text);
    this.#mergeKey = null;
    this.#read(from.pop());
    this.#tell();
  }

  #read(text) {
    this.text = text;
    try {
      const { tables, typed } = parseToml(text);
      this.tables = tables;
      this.placed = this.#kind.place(tables);
      this.syntaxError = null;
      this.errors = this.#kind.check(typed, this.name);
    } catch (error) {
      this.syntaxError = `${this.name}: ${error.message}`;
      this.errors = [{ path: [], message: this.syntaxError }];
    }
  }

  #tell() {
    for (const listener of [...this.#listeners]) listener();
  }
}
