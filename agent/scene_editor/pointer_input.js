// Mouse, pen and touch on the stage: one pointer draws, drags or pans, two zoom.

const CLICK_PX = 5;
const TOUCH_CLICK_PX = 12;
const DOUBLE_CLICK_MS = 400;
const WHEEL_ZOOM = 1.0015;

export class PointerInput {
  /** Functions of panels that are asked about the point of a click on no element, and return whether they have used it. */
  picks = [];
  #pointers = new Map();
  #gesture = null;
  #lastClick = { time: -Infinity, x: 0, y: 0 };

  constructor(editor, stage) {
    this.editor = editor;
    this.stage = stage;
    const { node } = stage;
    node.addEventListener("pointerdown", (event) => this.#down(event));
    node.addEventListener("pointermove", (event) => this.#move(event));
    node.addEventListener("pointerup", (event) => this.#up(event));
    node.addEventListener("pointercancel", (event) => this.#cancel(event));
    node.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    node.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  #down(event) {
    if (event.button > 1) return;
    const place = this.stage.place(event);
    this.#pointers.set(event.pointerId, place);
    this.stage.node.setPointerCapture(event.pointerId);
    this.editor.crosshair = null;
    this.editor.pointerType = event.pointerType;
    if (this.#pointers.size === 2) {
      this.#gesture?.abort?.();
      this.#gesture = this.#pinch();
    } else if (this.#pointers.size === 1) {
      this.#gesture = this.#begin(event, place);
    }
    event.preventDefault();
    const handle = event.target.closest?.("[data-handle]");
    (handle ?? this.stage.node).focus({ preventScroll: true });
  }

  #move(event) {
    const place = this.stage.place(event);
    const isDown = this.#pointers.has(event.pointerId);
    if (isDown) this.#pointers.set(event.pointerId, place);
    if (isDown && this.#gesture) this.#gesture.move(place);
    else if (!isDown && event.pointerType !== "touch") this.editor.tool?.onMove?.(this.editor.snapped(place, false), this.editor);
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    const gesture = this.#gesture;
    if (this.#pointers.size === 0) this.#gesture = null;
    if (gesture && !gesture.needsTwo && this.#pointers.size === 0) gesture.end(this.stage.place(event), event);
  }

  #cancel(event) {
    this.#pointers.delete(event.pointerId);
    this.#gesture?.abort?.();
    if (this.#pointers.size === 0) this.#gesture = null;
  }

  #wheel(event) {
    event.preventDefault();
    this.editor.viewport.zoomBy(WHEEL_ZOOM ** -event.deltaY, this.stage.place(event));
  }

  #begin(event, start) {
    const isTouch = event.pointerType === "touch";
    const threshold = isTouch ? TOUCH_CLICK_PX : CLICK_PX;
    const hasMoved = (place) => Math.hypot(place.x - start.x, place.y - start.y) > threshold;
    if (event.button === 1) return this.#pan(start, null, hasMoved);
    const handle = this.stage.handleOf(event.target);
    if (handle) return this.#dragHandle(handle, start, hasMoved, isTouch);
    if (this.editor.tool) return this.#draw(start, hasMoved, isTouch);
    const [list, index] = (event.target.closest("[data-element]")?.dataset.element ?? "").split(" ");
    const selection = list ? { list, index: Number(index) } : null;
    if (selection && this.editor.isSelected(selection)) return this.#dragElement(selection, start, hasMoved);
    return this.#pan(start, () => this.#select(selection, start), hasMoved);
  }

  #select(selection, { x, y }) {
    const point = this.editor.viewport.toPicture(x, y);
    if (selection || !this.picks.some((pick) => pick(point))) this.editor.select(selection);
  }

  #pan(start, onClick, hasMoved) {
    let last = start;
    let moved = false;
    return {
      move: (place) => {
        moved ||= hasMoved(place);
        if (!moved) return;
        this.editor.viewport.panBy(place.x - last.x, place.y - last.y);
        last = place;
      },
      end: () => { if (!moved) onClick?.(); },
    };
  }

  #pinch() {
    const read = () => {
      const [a, b] = [...this.#pointers.values()];
      return { length: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    };
    let last = read();
    return {
      needsTwo: true,
      move: () => {
        if (this.#pointers.size < 2) return;
        const now = read();
        this.editor.viewport.panBy(now.x - last.x, now.y - last.y);
        if (last.length > 0) this.editor.viewport.zoomBy(now.length / last.length, now);
        last = now;
      },
    };
  }

  #dragHandle(handle, start, hasMoved, isTouch) {
    // The finger may have met the target off its middle: the handle keeps its distance to it.
    const centre = this.editor.viewport.toScreen(handle.point);
    const shift = { x: centre.x - start.x, y: centre.y - start.y };
    let moved = false;
    const drag = (place, done) => {
      const at = { x: place.x + shift.x, y: place.y + shift.y };
      const point = handle.kind === "direction" ? this.editor.viewport.toPicture(at.x, at.y) : this.editor.snapped(at, isTouch, handle);
      handle.onDrag(point, done);
    };
    return {
      move: (place) => {
        moved ||= hasMoved(place);
        if (moved) drag(place, false);
      },
      end: (place) => {
        if (moved) drag(place, true);
        else if (handle.kind === "middle") handle.onDrag(handle.point, true);
      },
      abort: () => {
        handle.onAbort?.();
        this.editor.endPreview();
      },
    };
  }

  #dragElement(selection, start, hasMoved) {
    let moved = false;
    const drag = (place, done) => {
      const { x, y } = this.editor.viewport.pxPerPicture;
      this.editor.moveSelected((place.x - start.x) / x, (place.y - start.y) / y, done);
    };
    return {
      move: (place) => {
        moved ||= hasMoved(place);
        if (moved) drag(place, false);
      },
      end: (place) => { if (moved) drag(place, true); },
      abort: () => this.editor.endPreview(),
    };
  }

  #draw(start, hasMoved, isTouch) {
    const { tool } = this.editor;
    const first = this.editor.snapped(start, isTouch);
    let moved = false;
    return {
      move: (place) => {
        moved ||= hasMoved(place);
        const point = this.editor.snapped(place, isTouch);
        if (moved && tool.canDrag?.()) this.dragging = true;
        if (this.dragging) tool.onDrag(first, point, false);
        else tool.onMove?.(point, this.editor);
      },
      end: (place, event) => {
        if (this.dragging) {
          this.dragging = false;
          tool.onDrag(first, this.editor.snapped(place, isTouch), true);
        } else if (!moved || isTouch) this.#click(tool, first, place, event);
        else tool.onPoint(this.editor.snapped(place, isTouch), this.editor);
      },
      abort: () => {
        if (this.dragging) tool.onCancel(this.editor);
        this.dragging = false;
      },
    };
  }

  // The second click of a double click ends the shape, instead of adding a corner at the same place.
  #click(tool, point, place, event) {
    const last = this.#lastClick;
    const isDouble = event.timeStamp - last.time < DOUBLE_CLICK_MS && Math.hypot(place.x - last.x, place.y - last.y) < TOUCH_CLICK_PX;
    this.#lastClick = { time: isDouble ? -Infinity : event.timeStamp, ...place };
    if (isDouble && tool.isDrawing) tool.onFinish?.(this.editor);
    else tool.onPoint(point, this.editor);
  }
}
