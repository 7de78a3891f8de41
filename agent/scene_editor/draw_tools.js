// The tools that draw a new line or area: point by point, or with one drag from corner to corner.

import { MAX_CORNERS, shapeAt, shapeMiddle } from "./elements.js";
import { isSamePoint } from "./geometry.js";
import { arrow, drawDraft } from "./scene_drawing.js";

const ICONS = {
  line: "M4 20L20 4M4 20m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M20 4m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0",
  zone: "M5 5l14 2l-2 12l-13-3z",
  flow: "M4 20c0-9 3-12 14-12M13 3l5 5l-5 5",
  mask: "M4 6h16v12H4zM4 12l6-6M4 18L16 6M10 18L20 8",
  ignore: "M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16zM6.500 6.500l11 11",
};

export const SELECT_ICON = "M6 3l12 9l-5 1l3 6l-3 1l-2-6l-5 3z";

/** The tools in the order of the toolbar, with their keys. */
export function drawTools(editor) {
  const tools = [["line", "l"], ["zone", "z"], ["mask", "m"], ["ignore", "i"]].map(([list, key]) => new DrawTool(editor, list, key));
  return [...tools.slice(0, 2), new FlowTool(editor), ...tools.slice(2)];
}

class DrawTool {
  constructor(editor, list, key) {
    this.editor = editor;
    this.list = list;
    this.id = `draw-${list}`;
    this.key = key;
    this.icon = ICONS[list];
    this.textKey = `tool_${list}`;
    this.hintKey = list === "line" ? "hint_line" : "hint_area";
    this.cursor = "crosshair";
    this.points = [];
    this.hover = null;
  }

  get isDrawing() { return this.points.length > 0; }

  /** Points that the next one snaps to, in addition to those of the scene. */
  get snapPoints() { return this.#canClose ? [this.points[0]] : []; }
  get previous() { return this.points.at(-1) ?? null; }
  get #canClose() { return this.list !== "line" && this.points.length >= 3; }

  onPoint(point) {
    const closes = this.#canClose && (isSamePoint(point, this.points[0]) || isSamePoint(point, this.previous));
    if (closes) {
      this.onFinish();
      return;
    }
    if (this.isDrawing && isSamePoint(point, this.previous)) return;
    this.points.push(point);
    if (this.list === "line" && this.points.length === 2) this.onFinish();
    else if (this.points.length === MAX_CORNERS) this.onFinish();
    else this.editor.render();
  }

  onMove(point) {
    this.hover = point;
    if (this.isDrawing) this.editor.render();
  }

  /** One drag is a whole line, or a rectangle. Returns whether it is taken. */
  canDrag() { return !this.isDrawing; }

  onDrag(start, end, done) {
    if (isSamePoint(start, end)) return;
    const isFlat = start[0] === end[0] || start[1] === end[1];
    if (this.list === "line") this.points = [start, end];
    else if (!isFlat) this.points = [start, [end[0], start[1]], end, [start[0], end[1]]];
    else return;
    this.hover = null;
    if (done) this.onFinish();
    else this.editor.render();
  }

  onFinish() {
    const points = this.points;
    if (points.length < (this.list === "line" ? 2 : 3)) {
      this.editor.announce(this.editor.t("too_few_corners"));
      return;
    }
    this.onCancel();
    this.editor.addElement(this.list, points);
  }

  onBackspace() {
    this.points.pop();
    this.editor.render();
  }

  onCancel() {
    this.points = [];
    this.hover = null;
    this.editor.render();
  }

  draw(layer) {
    drawDraft(layer, this.editor, this.points, this.hover, this.list !== "line" && this.points.length > 2);
  }
}

const REACH_PX = 16;

/** Draws a flow: first the line or zone that it is from, then the one that it is to. */
class FlowTool {
  constructor(editor) {
    this.editor = editor;
    this.id = "draw-flow";
    this.key = "f";
    this.icon = ICONS.flow;
    this.textKey = "tool_flow";
    this.hintKey = "hint_flow";
    this.cursor = "crosshair";
    /** A point chooses a shape: it need not be at a corner. */
    this.isExact = true;
    this.from = null;
    this.hover = null;
  }

  get isDrawing() { return this.from !== null; }

  onPoint(point) {
    const shape = this.#shapeAt(point);
    if (!shape) {
      this.editor.announce(this.editor.t("flow_no_shape"));
    } else if (!this.isDrawing) {
      this.from = shape;
      this.editor.announce(this.editor.t("flow_from", { name: shape.table.name }));
      this.editor.render();
    } else if (shape.table.name === this.from.table.name) {
      this.editor.announce(this.editor.t("flow_same"));
    } else {
      const from = this.from.table.name;
      this.onCancel();
      this.editor.addFlow(from, shape.table.name);
    }
  }

  onMove(point) {
    this.hover = point;
    if (this.isDrawing) this.editor.render();
  }

  /** One drag is a whole flow. Returns whether it is taken. */
  canDrag() { return !this.isDrawing; }

  onDrag(start, end, done) {
    this.from = this.#shapeAt(start);
    this.hover = end;
    if (!done) {
      this.editor.render();
      return;
    }
    if (this.isDrawing) this.onPoint(end);
    else this.editor.announce(this.editor.t("flow_no_shape"));
    if (this.isDrawing) this.onCancel();
  }

  onBackspace() { this.onCancel(); }

  onCancel() {
    this.from = null;
    this.hover = null;
    this.editor.render();
  }

  draw(layer) {
    if (!this.from || !this.hover) return;
    const { scale, size } = this.editor.viewport;
    const [from, to] = [shapeMiddle(this.from), this.hover].map(([x, y]) => [x * size.width, y * size.height]);
    layer.append(arrow(from, to, scale, "arrow flow"));
  }

  #shapeAt(point) {
    const { x, y } = this.editor.viewport.pxPerPicture;
    return shapeAt(this.editor.document.placed, point, (each) => [each[0] * x, each[1] * y], REACH_PX);
  }
}
