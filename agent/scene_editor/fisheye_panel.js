// The fisheye panel: the lens of a fisheye camera, by numbers and by lines that are straight in the street, and its views.

import { element } from "./dom.js";
import { drawOutline, isInView, rightEdge } from "./fisheye_drawing.js";
import { FisheyeForm } from "./fisheye_form.js";
import { directionAt, fieldOfViewThrough, viewPoint } from "./fisheye_lens.js";
import { FisheyePreview } from "./fisheye_preview.js";
import { FisheyeState } from "./fisheye_state.js";
import { MAX_LINES, MAX_VIEW_PIXELS } from "./fisheye_version.js";
import { drawPath, MarkTool, straightTool } from "./mark_tools.js";

const VIEW_ICON = "M3 8q9 -5 18 0v9q-9 -4 -18 0zM12 9v5M9.500 11.500h5";

/** For the camera of `options.data.fisheye`, if there is one. */
export function installFisheye(editor) {
  const given = editor.options.data?.fisheye;
  if (!given) return;
  const fisheye = new Fisheye(editor, new FisheyeState(given));
  editor.addLayer({ id: "fisheye", above: "scene", draw: (group) => fisheye.draw(group) });
  editor.addPanel({ id: "fisheye", textKey: "fisheye_title", document: fisheye.state.document, mount: (container) => fisheye.mount(container) });
  editor.addHandles({ id: "fisheye", list: () => fisheye.handles() });
  editor.addCheck((tables) => fisheye.findings(tables));
  editor.pointerInput.picks.push((point) => fisheye.pick(point));
  fisheye.addTools();
  editor.panel.show("fisheye");
}

class Fisheye {
  #editor;
  #container = null;
  #form = null;
  #preview;
  #selected = 0;
  #dragged = null;
  #nodes = {};

  constructor(editor, state) {
    this.#editor = editor;
    this.state = state;
    this.#preview = new FisheyePreview(() => editor.render());
    state.document.onChange(() => {
      this.#show();
      editor.checkAgain();
    });
    for (const event of ["picture", "language"]) editor.on(event, () => this.#show());
  }

  get #isShown() { return this.#container !== null && !this.#container.hidden; }
  get #aspect() { return this.#editor.viewport.aspect; }

  /** The views as they are drawn, with what is dragged. */
  get #views() {
    const { views } = this.state;
    const { index, options } = this.#dragged ?? {};
    return options ? views.map((view, at) => (at === index ? { ...view, options } : view)) : views;
  }

  addTools() {
    const addLine = (points) => {
      if (this.state.lens.straight.length === MAX_LINES) this.#editor.announce(this.#editor.t("fisheye_too_many_lines", { most: MAX_LINES }));
      else this.#changeShown(() => this.state.addLine(points, this.#aspect));
    };
    this.#editor.addTool(straightTool(this.#editor, "fisheye-line", "k", addLine));
    this.#editor.addTool(new MarkTool(this.#editor, { id: "fisheye-view", key: "n", min: 1, max: 1, icon: VIEW_ICON, onDone: ([point]) => this.#addView(point) }));
  }

  mount(container) {
    this.#container = container;
    const nodes = this.#nodes;
    const title = (key) => this.#text(element("h3"), key);
    nodes.status = element("div", { class: "ground-status", role: "status" });
    nodes.lines = element("div");
    nodes.views = element("ul", { class: "elements" });
    this.#form = new FisheyeForm(this.#editor, this.state, () => this.#deleteView(this.#selected));
    container.append(
      this.#text(element("p", { class: "hint" }), "fisheye_hint"),
      title("fisheye_lens"), this.#form.lensNode, nodes.status, nodes.lines,
      title("fisheye_views"), nodes.views, this.#form.viewNode, this.#preview.node,
      this.#text(element("p", { class: "hint" }), "fisheye_save"), element("p", {}, element("code", { dir: "ltr" }, `vigie configure BOX --merge ${this.state.document.name}`)),
    );
    this.#show();
  }

  handles() {
    const { lens } = this.state.fit;
    if (this.#editor.tool || !this.#isShown) return [];
    const t = (key, values) => this.#editor.t(key, values);
    const points = this.state.lens.straight.flatMap((line, index) => line.map((point, at) => this.#lineHandle(index, at, point, t)));
    if (!lens) return points;
    const views = this.#views.flatMap(({ name, options }, index) => {
      const turn = (to) => directionAt(lens, to, this.#aspect);
      const widen = (to) => {
        const field_of_view_deg = fieldOfViewThrough(lens, options, to, this.#aspect);
        return field_of_view_deg === null ? null : { field_of_view_deg };
      };
      const middle = this.#viewHandle(index, "middle", viewPoint(lens, options, [0.5, 0.5], this.#aspect), t("fisheye_handle_view", { name }), turn);
      const edge = index === this.#selected && this.#viewHandle(index, "edge", rightEdge(lens, options, this.#aspect), t("fisheye_handle_edge", { name }), widen);
      return [middle, edge].filter((handle) => handle && handle.point !== null);
    });
    return [...views, ...points];
  }

  /** Select the view at a point of the picture; of several the one after the selected. */
  pick(point) {
    const { lens } = this.state.fit;
    if (!this.#isShown || !lens) return false;
    const { views } = this.state;
    const order = views.map((_, step) => (this.#selected + 1 + step) % views.length);
    const found = order.find((index) => isInView(lens, views[index].options, point, this.#aspect));
    if (found === undefined) return false;
    this.#select(found);
    return true;
  }

  /** Lines and zones of the fisheye picture itself, as a box refuses them. */
  findings(tables) {
    const list = ["line", "zone"].find((each) => tables[each]?.length);
    if (!list) return [];
    const message = `${this.#editor.document.name}: lines and zones of a fisheye camera are drawn on its views; allowed: masks alone`;
    return [{ path: [list, 0], level: "error", message }];
  }

  draw(group) {
    if (!this.#isShown || !this.#editor.picture) return;
    const { lens } = this.state.fit;
    const { size, scale } = this.#editor.viewport;
    const views = this.#views;
    if (lens) views.forEach((view, index) => drawOutline(group, view, lens, size, 1 / scale, index === this.#selected));
    this.state.lens.straight.forEach((line, index) => {
      const shown = line.map((point, at) => (this.#dragged?.line === index && this.#dragged.at === at ? this.#dragged.point : point));
      drawPath(group, shown.map(([x, y]) => [x * size.width, y * size.height]), "ground-straight", 1 / scale);
    });
    this.#preview.draw(this.#editor.picture, lens, views[this.#selected]?.options);
  }

  #lineHandle(line, at, point, t) {
    const id = `fisheye-line-${line}-${at}`;
    const isDragged = this.#dragged?.line === line && this.#dragged.at === at;
    return {
      id,
      isExact: true,
      point: isDragged ? this.#dragged.point : point,
      label: t("ground_straight_point", { line: line + 1, number: at + 1 }),
      onDrag: (to, isDone, merge) => this.#drag({ line, at, point: to }, isDone, () => this.state.moveLinePoint(line, at, to, merge ?? null)),
      onAbort: () => { this.#dragged = null; },
      onDelete: () => this.state.deleteLine(line),
    };
  }

  /** `change(to)` returns the options that a view gets if the handle is moved to a point, or null. */
  #viewHandle(index, kind, point, label, change) {
    return {
      id: `fisheye-view-${index}-${kind}`,
      kind: kind === "edge" ? "direction" : "corner",
      isExact: true,
      point,
      label,
      onFocus: () => this.#select(index),
      onDrag: (to, isDone, merge) => {
        const changed = change(to);
        if (changed === null) return;
        this.#drag({ index, options: this.state.withOptions(this.state.views[index].options, changed) }, isDone, () => this.state.setView(index, changed, merge ?? null));
      },
      onAbort: () => { this.#dragged = null; },
      onDelete: () => this.#deleteView(index),
    };
  }

  #drag(dragged, isDone, finish) {
    this.#dragged = isDone ? null : dragged;
    if (isDone) finish();
    else this.#editor.render();
  }

  #addView(point) {
    const direction = this.state.fit.lens && directionAt(this.state.fit.lens, point, this.#aspect);
    if (!direction) {
      this.#editor.announce(this.#editor.t("fisheye_not_seen"));
      return;
    }
    this.#changeShown(() => this.state.addView(direction));
    this.#select(this.state.views.length - 1);
    this.#editor.setTool(null);
    this.#editor.announce(this.#editor.t("element_added", { name: this.state.views.at(-1).name }));
    this.#editor.focusHandle(`fisheye-view-${this.#selected}-middle`);
  }

  #deleteView(index) {
    const { name } = this.state.views[index];
    this.state.deleteView(index);
    this.#editor.announce(this.#editor.t("element_deleted", { name }));
    this.#editor.stage.node.focus({ preventScroll: true });
  }

  #changeShown(change) {
    change();
    this.#editor.panel.show("fisheye");
  }

  #select(index) {
    if (index === this.#selected) return;
    this.#selected = index;
    this.#show();
    this.#editor.render();
  }

  #text(node, key) {
    this.#editor.bindText(node, key);
    return node;
  }

  #show() {
    if (!this.#form) return;
    const { lens, fit, views } = this.state;
    this.#selected = Math.max(0, Math.min(this.#selected, views.length - 1));
    this.#form.show(this.#selected);
    this.#nodes.status.replaceChildren(...this.#statusLines(fit, views).map(([className, words]) => element("p", { class: className }, words)));
    this.#nodes.lines.replaceChildren(...lens.straight.length ? [this.#lineTable(lens.straight, fit.lines)] : []);
    this.#showViews(views);
    this.#preview.node.setAttribute("aria-label", this.#editor.t("fisheye_preview", { name: views[this.#selected]?.name ?? "" }));
  }

  #statusLines({ lens, error, errorDeg, lines }, views) {
    const t = (key, values) => this.#editor.t(key, values);
    if (error) return [["error", t(`lens_error_${error.code}`, error.values)]];
    const found = [["hint", t("fisheye_focal", { value: lens.focalLength.toFixed(4) })]];
    if (errorDeg !== null) {
      found.unshift(["ground-error", t("fisheye_fit", { percent: (100 * Math.max(...lines)).toFixed(2), error: errorDeg.toFixed(1) })]);
      if (this.state.lens.field_of_view_deg === undefined) found.push(["hint", t("fisheye_no_field")]);
    }
    const large = views.find(({ options }) => options.width_px * options.height_px > MAX_VIEW_PIXELS);
    if (large) found.push(["error", t("fisheye_too_large", { name: large.name, most: MAX_VIEW_PIXELS / 1e6 })]);
    return found;
  }

  #lineTable(straight, rms) {
    const t = (key, values) => this.#editor.t(key, values);
    return element("table", { class: "ground-marks" },
      element("tr", {}, element("th", { scope: "col" }, t("ground_straight")), element("th", { scope: "col" }, t("fisheye_off")), element("td")),
      straight.map((_, index) => element("tr", {},
        element("th", { scope: "row" }, String(index + 1)),
        element("td", { "data-error": index, dir: "ltr" }, index in rms ? `${(100 * rms[index]).toFixed(2)} %` : "–"),
        element("td", {}, element("button", { type: "button", class: "delete", "aria-label": t("ground_delete_straight", { number: index + 1 }), click: () => this.state.deleteLine(index) }, "✕")))));
  }

  #showViews(views) {
    const focused = this.#nodes.views.contains(document.activeElement) ? document.activeElement.dataset.view : null;
    this.#nodes.views.replaceChildren(...views.map(({ name, options }, index) => element("li", {}, element("button", {
      type: "button", "data-view": index, "aria-pressed": String(index === this.#selected),
      click: () => {
        if (index === this.#selected) this.#editor.focusHandle(`fisheye-view-${index}-middle`);
        else this.#select(index);
      },
    }, element("bdi", {}, name), element("span", { class: "kind" }, this.#editor.t(`fisheye_${options.projection}`))))));
    if (!views.length) this.#nodes.views.append(element("li", { class: "hint" }, this.#editor.t("fisheye_no_views")));
    if (focused !== null) this.#nodes.views.querySelector(`[data-view="${focused}"]`)?.focus();
  }
}
