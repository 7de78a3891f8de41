// The head by hand: it moves while a button is held, and stops with the finger, the key or the page.
//
// The box ends each motion 0.6 s after it was asked for last: a phone that is lost stops the head.

import { element } from "/editor/dom.js";
import { pause } from "./pause.js";
import { text } from "./texts.js";
import { button } from "./widgets.js";

const REPEAT_MS = 200;
const SPEEDS = { slow: 0.15, medium: 0.4, fast: 1 };
const BUTTONS = [
  { key: "jog_zoom_out", sign: "−", zoom: -1 },
  { key: "jog_up", sign: "▲", tilt: 1 },
  { key: "jog_zoom_in", sign: "+", zoom: 1 },
  { key: "jog_left", sign: "◀", pan: -1 },
  { key: "jog_stop", sign: null },
  { key: "jog_right", sign: "▶", pan: 1 },
  { key: "jog_focus_near", sign: "⊖", focus: -1 },
  { key: "jog_down", sign: "▼", tilt: -1 },
  { key: "jog_focus_far", sign: "⊕", focus: 1 },
];
const HOLD_KEYS = new Set(["Enter", " "]);

/** Return a pad of buttons. `move(velocities)` and `stop()` ask the box and return promises; a stop is never withheld. */
export function jogPad({ move, stop }) {
  let held = null;
  let speed = "medium";

  // One motion is on its way at a time, so that none is left behind a stop.
  async function keepMoving(mine) {
    while (held === mine) {
      const { pan = 0, tilt = 0, zoom = 0, focus = 0 } = mine.direction;
      const share = SPEEDS[speed];
      await Promise.all([move({ pan: pan * share, tilt: tilt * share, zoom: zoom * share, focus: focus * share }), pause(REPEAT_MS)]);
    }
    // A stop may overtake the motion before it on its way, so it is sent again behind that one.
    if (held === null) stop();
  }

  function begin(pressed, direction) {
    if (held?.pressed === pressed) return;
    release();
    held = { pressed, direction };
    pressed.classList.add("held");
    keepMoving(held);
  }

  function release() {
    if (held === null) return;
    held.pressed.classList.remove("held");
    held = null;
    stop();
  }

  function directionButton(direction) {
    if (direction.sign === null) return button(text("jog_stop"), () => { release(); stop(); }, { class: "stop" });
    const pressed = button(element("span", { "aria-hidden": "true" }, direction.sign), null, { "aria-label": text(direction.key) });
    pressed.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      pressed.focus({ preventScroll: true });
      pressed.setPointerCapture(event.pointerId);
      begin(pressed, direction);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) pressed.addEventListener(end, release);
    pressed.addEventListener("keydown", (event) => {
      if (!HOLD_KEYS.has(event.key)) return;
      event.preventDefault();
      begin(pressed, direction);
    });
    pressed.addEventListener("keyup", release);
    pressed.addEventListener("contextmenu", (event) => event.preventDefault());
    return pressed;
  }

  const pad = element("div", { class: "pad", role: "group", "aria-label": text("jog") }, BUTTONS.map(directionButton));
  const choice = element("div", { class: "row", role: "group", "aria-label": text("jog_speed") }, Object.keys(SPEEDS).map((name) =>
    button(text(`jog_${name}`), (event) => {
      speed = name;
      for (const one of choice.children) one.setAttribute("aria-pressed", String(one === event.currentTarget));
    }, { "aria-pressed": String(name === speed) })));
  const hidden = () => document.hidden && release();
  document.addEventListener("visibilitychange", hidden);
  addEventListener("pagehide", release);
  addEventListener("blur", release);

  /** Stop the head and forget the page's events. */
  function close() {
    release();
    document.removeEventListener("visibilitychange", hidden);
    removeEventListener("pagehide", release);
    removeEventListener("blur", release);
  }

  return { element: element("div", {}, pad, choice), close };
}
