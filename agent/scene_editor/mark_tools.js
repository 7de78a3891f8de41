// The tools that place marks: points, known lengths, and lines that are straight in the street.

import { svgElement } from "./dom.js";
import { isSamePoint } from "./geometry.js";

const MIN_STRAIGHT_POINTS = 3;
const MAX_STRAIGHT_POINTS = 32;

const STRAIGHT_ICON = "M5 19L19 5M5 19m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M12 12m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M19 5m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0";

/** `onDone(list, points)` is called with the points of each whole mark. */
export function groundTools(editor, onDone) {
  return [
    new MarkTool(editor, {
      id: "ground-point", key: "g", min: 1, max: 1, onDone: (points) => onDone("point", points),
      icon: "M12 21s-7-6.500-7-12a7 7 0 0 1 14 0c0 5.500-7 12-7 12zM12 6.500v5M9.500 9h5",
    }),
    new MarkTool(editor, {
      id: "ground-length", key: "h", min: 2, max: 2, onDone: (points) => onDone("length", points), icon: "M3 17L17 3l4 4L7 21zM7 13l2 2M10 10l3 3M13 7l2 2",
    }),
    straightTool(editor, "ground-straight", "j", (points) => onDone("straight", points)),
  ];
}

export function straightTool(editor, id, key, onDone) {
  return new MarkTool(editor, { id, key, min: MIN_STRAIGHT_POINTS, max: MAX_STRAIGHT_POINTS, onDone, icon: STRAIGHT_ICON });
}

/** A tool of `min` to `max` points. Its texts are `tool_` and `hint_` with its id. */
export class MarkTool {
  #editor;
  #options;
  #hover = null;

  constructor(editor, options) {
    this.#editor = editor;
    this.#options = options;
    this.id = options.id;
    const name = options.id.replaceAll("-", "_");
    [this.textKey, this.hintKey] = [`tool_${name}`, `hint_${name}`];
    this.key = options.key;
    this.icon = options.icon;
    this.cursor = "crosshair";
    /** A mark is where the thing is that was measured, not at a corner of a zone near it. */
    this.isExact = true;
    this.points = [];
  }

  get isDrawing() { return this.points.length > 0; }
  get previous() { return this.points.at(-1) ?? null; }
  get snapPoints() { return []; }

  onPoint(point) {
    if (this.isDrawing && isSamePoint(point, this.previous)) {
      this.onFinish();
      return;
    }
    this.points.push(point);
    if (this.points.length === this.#options.max) this.onFinish();
    else this.#editor.render();
  }

  onMove(point) {
    this.#hover = point;
    if (this.isDrawing) this.#editor.render();
  }

  onFinish() {
    const { points } = this;
    if (points.length < this.#options.min) {
      this.#editor.announce(this.#editor.t("ground_too_few_points", { allowed: this.#options.min }));
      return;
    }
    this.onCancel();
    this.#options.onDone(points);
  }

  onBackspace() {
    this.points.pop();
    this.#editor.render();
  }

  onCancel() {
    this.points = [];
    this.#hover = null;
    this.#editor.render();
  }

  draw(layer) {
    const { scale, size } = this.#editor.viewport;
    const points = [...this.points, ...(this.isDrawing && this.#hover ? [this.#hover] : [])];
    drawPath(layer, points.map(([x, y]) => [x * size.width, y * size.height]), "ground-straight", 1 / scale);
  }
}

/** A line through points in picture pixels, with a dot at each; `unit` is a pixel of the screen. */
export function drawPath(group, points, className, unit) {
  group.append(
    svgElement("polyline", { class: "ground-halo", points: points.join(" "), "stroke-width": 4 * unit }),
    svgElement("polyline", { class: className, points: points.join(" "), "stroke-width": 2 * unit }),
    ...points.map(([cx, cy]) => svgElement("circle", { class: className, cx, cy, r: 4 * unit, "stroke-width": 2 * unit })),
  );
}
