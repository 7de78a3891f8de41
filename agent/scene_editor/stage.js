// The stage: the picture, the layers of the SVG, the handles.

import { element, svgElement } from "./dom.js";
import { drawnElements, drawnFlows } from "./elements.js";
import { drawScene, tablesWithPreview } from "./scene_drawing.js";
import { selectedHandles } from "./handles.js";

export class Stage {
  #frame = 0;
  #handleNodes = new Map();
  #focusId = null;

  constructor(editor) {
    this.editor = editor;
    this.image = svgElement("image", { x: 0, y: 0, preserveAspectRatio: "none" });
    this.paper = svgElement("rect", { x: 0, y: 0, class: "paper" });
    this.pictureLayer = svgElement("g", {});
    this.sceneLayer = svgElement("g", {});
    this.draftLayer = svgElement("g", { class: "no-pointer" });
    this.world = svgElement("g", {}, this.paper, this.image, this.pictureLayer, this.sceneLayer, this.draftLayer);
    this.handleLayer = svgElement("g", {});
    this.handleLayer.addEventListener("focusin", ({ target }) => {
      const handle = this.handleOf(target);
      editor.chooseCorner(handle?.corner ?? null);
      handle?.onFocus?.();
    });
    this.crosshair = svgElement("path", { class: "crosshair no-pointer", d: "M-14 0H14M0 -14V14" });
    this.svg = svgElement("svg", { class: "picture" }, this.world, this.handleLayer, this.crosshair);
    this.node = element("div", { class: "stage", dir: "ltr", tabindex: "0", role: "application" }, this.svg);
    this.resizes = new ResizeObserver(() => {
      const { width, height } = this.node.getBoundingClientRect();
      editor.viewport.setStage(width, height);
    });
    this.resizes.observe(this.node);
  }

  destroy() { this.resizes.disconnect(); }

  /** The place of a pointer's event on the stage. */
  place(event) {
    const { left, top } = this.node.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  setPicture(picture) {
    for (const node of [this.image, this.paper]) {
      node.setAttribute("width", picture.width_px);
      node.setAttribute("height", picture.height_px);
    }
    if (picture.url) this.image.setAttribute("href", picture.url);
    else this.image.removeAttribute("href");
  }

  /** Draw in the next animation frame. */
  render() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.renderNow());
  }

  renderNow() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { editor } = this;
    const { scale, offset } = editor.viewport;
    this.world.setAttribute("transform", `translate(${offset.x} ${offset.y}) scale(${scale})`);
    this.pictureLayer.replaceChildren();
    this.sceneLayer.replaceChildren();
    this.draftLayer.replaceChildren();
    for (const layer of editor.layers) {
      const group = svgElement("g", { class: "no-pointer", "data-layer": layer.id });
      (layer.above === "scene" ? this.draftLayer : this.pictureLayer).append(group);
      layer.draw(group, editor);
    }
    drawScene(this.sceneLayer, editor, editor.findingLevels());
    editor.tool?.draw?.(this.draftLayer);
    this.#renderHandles();
    this.node.style.cursor = editor.tool?.cursor ?? "";
    const cross = editor.crosshair && editor.viewport.toScreen(editor.crosshair);
    this.crosshair.setAttribute("display", cross ? "inline" : "none");
    if (cross) this.crosshair.setAttribute("transform", `translate(${cross.x} ${cross.y})`);
  }

  /** Put the focus on a handle as soon as it is drawn. */
  focusHandle(id) {
    this.#focusId = id;
    this.render();
  }

  /** The handles shown: those of the selected element, and those of panels. */
  handles() {
    const { editor } = this;
    if (editor.tool) return editor.extraHandles();
    return [...selectedHandles(editor), ...editor.extraHandles()];
  }

  handleOf(node) {
    const id = node.closest?.("[data-handle]")?.dataset.handle;
    return id === undefined ? null : this.handles().find((handle) => handle.id === id) ?? null;
  }

  // Nodes are kept from one drawing to the next: a handle that is moved by keys keeps the focus.
  #renderHandles() {
    const shown = this.handles();
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, node] of this.#handleNodes) {
      if (!ids.has(id)) {
        if (node === document.activeElement && this.#focusId === null) this.node.focus({ preventScroll: true });
        node.remove();
        this.#handleNodes.delete(id);
      }
    }
    for (const { id, kind = "corner", point, label } of shown) {
      const node = this.#handleNodes.get(id) ?? this.#addHandle(id, kind);
      const { x, y } = this.editor.viewport.toScreen(point);
      node.setAttribute("transform", `translate(${x} ${y})`);
      node.setAttribute("aria-label", label);
    }
    const wanted = this.#focusId === null ? null : this.#handleNodes.get(this.#focusId);
    if (wanted) wanted.focus({ preventScroll: true });
    this.#focusId = null;
  }

  #addHandle(id, kind) {
    const mark = kind === "middle" ? svgElement("path", { class: "mark", d: "M-5 0H5M0 -5V5" }) : svgElement("circle", { class: "mark", r: 7 });
    const node = svgElement("g", { class: `handle ${kind}`, "data-handle": id, tabindex: "0", role: "button" }, svgElement("circle", { class: "target" }), mark);
    this.#handleNodes.set(id, node);
    this.handleLayer.append(node);
    return node;
  }

  shownElements() { return drawnElements(this.#shownTables); }
  shownFlows() { return drawnFlows(this.#shownTables); }

  get #shownTables() { return tablesWithPreview(this.editor.document.placed, this.editor.activePreview); }
}
