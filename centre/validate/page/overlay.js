// The drawing over the film: the line that is counted, the other lines, masks, and the crossings of this moment.

import { svgElement } from "../dom.js";
import { placeOnLine } from "./count_state.js";

/** A crossing is marked on its line so long before and after its time. */
const MARK_S = 0.8;
const ARROW = 0.07;
const DOT = 0.012;

export class Overlay {
  #size;
  #ends;
  #pointer = null;
  #marks = svgElement("g");

  /** `onPlace(place)` is called when a person has pressed on the picture: the nearest place on the line. */
  constructor(stage, { film, line, lines, masks }, onPlace) {
    this.#size = [film.width_px, film.height_px];
    this.#ends = [line.from, line.to].map((point) => this.#pixels(point));
    this.node = svgElement("svg", { class: "count-overlay", viewBox: `0 0 ${this.#size.join(" ")}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const polygon of masks) this.node.append(svgElement("polygon", { class: "count-mask", points: this.#points(polygon) }));
    for (const other of lines) this.node.append(svgElement("polyline", { class: "count-line other", points: this.#points([other.from, other.to]) }));
    this.node.append(
      svgElement("polyline", { class: "count-halo", points: this.#ends.join(" ") }),
      svgElement("polyline", { class: "count-line", points: this.#ends.join(" ") }),
      this.#arrow("A->B", 1), this.#arrow("B->A", -1), this.#marks,
    );
    stage.append(this.node);
    stage.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") this.#point(event); });
    stage.addEventListener("pointerdown", (event) => { this.#point(event); onPlace(this.place); });
    stage.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") this.#pointer = null; });
  }

  /** Where on the line the pointer is, or the last tap was; null if it is not over the film. */
  get place() { return this.#pointer?.place ?? null; }

  /** The place for a crossing. A tap is for one crossing alone. */
  takePlace() {
    const { place } = this;
    if (this.#pointer?.isTouch) this.#pointer = null;
    return place;
  }

  draw(shown_s, crossings, selected) {
    const shown = crossings.filter((one) => one === selected || Math.abs(one.t - shown_s) <= MARK_S);
    const marks = shown.map((one) => this.#dot(one.pos ?? 0.5, `count-mark${one === selected ? " selected" : ""}${"pos" in one ? "" : " anywhere"}`, one.dir));
    if (this.place !== null) marks.push(this.#dot(this.place, "count-pointer"));
    this.#marks.replaceChildren(...marks);
  }

  #point(event) {
    const box = this.node.getBoundingClientRect();
    const at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    this.#pointer = { place: placeOnLine(this.#pixels(at), this.#ends), isTouch: event.pointerType === "touch" };
  }

  #dot(place, kind, direction) {
    const [[ax, ay], [bx, by]] = this.#ends;
    return svgElement("circle", {
      class: kind, cx: ax + (bx - ax) * place, cy: ay + (by - ay) * place, r: DOT * this.#size[0], "data-direction": direction,
    });
  }

  /** An arrow from the middle of the line to its right hand (1) or its left hand (-1). */
  #arrow(direction, side) {
    const [[ax, ay], [bx, by]] = this.#ends;
    const length = Math.hypot(bx - ax, by - ay);
    const [rx, ry] = [-(by - ay) / length * side, (bx - ax) / length * side];
    const reach = ARROW * this.#size[0];
    const [x, y] = [(ax + bx) / 2, (ay + by) / 2];
    const [tipX, tipY] = [x + rx * reach, y + ry * reach];
    const barb = (turn) => [tipX - (rx + ry * turn) * reach / 4, tipY - (ry - rx * turn) * reach / 4];
    const points = [[x, y], [tipX, tipY], barb(0.8), [tipX, tipY], barb(-0.8)].join(" ");
    return svgElement("g", {}, svgElement("polyline", { class: "count-halo", points }), svgElement("polyline", { class: "count-arrow", "data-direction": direction, points }));
  }

  #pixels([x, y]) { return [x * this.#size[0], y * this.#size[1]]; }
  #points(places) { return places.map((place) => this.#pixels(place)).join(" "); }
}
