// The keyboard: everything that a pointer does on the stage, and the shortcuts.

import { clamp } from "./geometry.js";

const STEP_PX = 10;
const FINE_STEP_PX = 1;
const ANGLE_STEP = 5;
const PAN_PX = 60;
const ZOOM = 1.25;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * The Latin letter or digit of a key. A layout of another script has none: there the place of the key counts. On a Latin layout
 * its letter counts, so that Ctrl+Z is the key marked Z in France too. Caps Lock makes no difference.
 */
export function latinKey({ key, code }) {
  if (/^[\x20-\x7e]$/.test(key)) return key.toLowerCase();
  return /^(?:Key|Digit)(.)$/.exec(code ?? "")?.[1].toLowerCase() ?? key;
}

export class Keyboard {
  #removed = new AbortController();

  constructor(editor, root, stage) {
    this.editor = editor;
    this.stage = stage;
    // Without a focus in the editor the browser would save the page at Ctrl+S.
    root.ownerDocument.addEventListener("keydown", (event) => this.#shortcut(event), { signal: this.#removed.signal });
    stage.node.addEventListener("keydown", (event) => this.#onStage(event));
  }

  destroy() { this.#removed.abort(); }

  #shortcut(event) {
    const isText = event.target.matches("textarea, input:not([type=checkbox]), select");
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = latinKey(event);
    if (key === "s") this.editor.runMainAction();
    else if (isText) return;
    else if (key === "z" && !event.shiftKey) this.editor.panel.edited.undo();
    else if (key === "y" || key === "z") this.editor.panel.edited.redo();
    else return;
    event.preventDefault();
  }

  #onStage(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.editor.pointerType = "keyboard";
    const handle = this.stage.handleOf(event.target);
    const isTaken = (handle && this.#onHandle(event, handle)) || (this.editor.tool && this.#onTool(event)) || this.#onPicture(event);
    if (isTaken) event.preventDefault();
  }

  #step(event) {
    const arrow = ARROWS[event.key];
    const length = event.shiftKey ? FINE_STEP_PX : STEP_PX;
    return arrow && arrow.map((part) => part * length);
  }

  #onHandle(event, handle) {
    const step = this.#step(event);
    if (step && handle.onStep) {
      const turn = step[0] < 0 || step[1] < 0 ? 1 : -1;
      handle.onStep(turn * (event.shiftKey ? 1 : ANGLE_STEP));
    } else if (step) {
      const { x, y } = this.editor.viewport.pxPerPicture;
      const point = [clamp(handle.point[0] + step[0] / x, 0, 1), clamp(handle.point[1] + step[1] / y, 0, 1)];
      handle.onDrag(point, true, `keys ${handle.id}`);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      handle.onDelete?.();
    } else if ((event.key === "Enter" || event.key === " ") && handle.kind === "middle") {
      handle.onDrag(handle.point, true);
    } else return false;
    return true;
  }

  #onTool(event) {
    const { editor } = this;
    const { tool } = editor;
    const step = this.#step(event);
    if (step) {
      editor.moveCrosshair(step);
      tool.onMove?.(editor.crosshair, editor);
    } else if (event.key === "Enter" || event.key === " ") {
      if (editor.crosshair) tool.onPoint(editor.crosshair, editor);
      else editor.moveCrosshair([0, 0]);
    } else if (event.key === "Backspace" && tool.isDrawing) {
      tool.onBackspace?.(editor);
    } else if (event.key === "Escape" && tool.isDrawing) {
      tool.onCancel?.(editor);
    } else return false;
    return true;
  }

  #onPicture(event) {
    const { editor } = this;
    const arrow = ARROWS[event.key];
    const key = event.key.length === 1 ? latinKey(event) : event.key;
    if (arrow) editor.viewport.panBy(-arrow[0] * PAN_PX, -arrow[1] * PAN_PX);
    else if (event.key === "Escape" && editor.tool) editor.setTool(null);
    else if (event.key === "Escape") editor.select(null);
    else if (event.key === "Delete") editor.deleteSelected();
    else if (key === "+" || key === "=") editor.viewport.zoomBy(ZOOM);
    else if (key === "-") editor.viewport.zoomBy(1 / ZOOM);
    else if (key === "0") editor.viewport.fit();
    else if (key === "v") editor.setTool(null);
    else return editor.chooseToolByKey(key);
    return true;
  }
}
