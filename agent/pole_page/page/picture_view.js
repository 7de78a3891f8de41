// The live picture: focus, level, aim and night view for the one on the ladder, and the head by hand.

import { element, svgElement } from "/editor/dom.js";
import { act, sentenceOf } from "./box_api.js";
import { AimOverlay } from "./aim_overlay.js";
import { cameraChoice, chosenCamera } from "./camera_choice.js";
import { focusAssistant } from "./focus_assistant.js";
import { headPanel } from "./head_panel.js";
import { LivePicture } from "./live_picture.js";
import { format, text } from "./texts.js";
import { button, setText, show } from "./widgets.js";

const VIEW_BOX_PX = 1000;

const READINGS = ["level", "horizon", "light", "glass"];

/** Return the view. */
export function pictureView({ session }) {
  const place = element("div");
  let shown = null;

  function open() {
    shown?.close();
    const camera = chosenCamera(session);
    if (camera === null) {
      shown = null;
      show(place, element("p", { class: "notice" }, text("no_camera")));
      return;
    }
    shown = cameraPanel(camera, session);
    show(place, shown.element);
  }

  open();
  return { element: element("div", {}, cameraChoice(session, open), place), close: () => shown?.close() };
}

function cameraPanel(camera, session) {
  const image = element("img", { class: "live", alt: text("picture_of", { camera }) });
  const level = levelDrawing();
  const blank = element("p", { class: "blank", role: "status" }, text("waiting"));
  const screen = element("div", { class: "screen" }, image, level.element, blank);
  const meter = focusMeter(camera);
  const words = element("div", { class: "readings" });
  const aim = new AimOverlay(camera, screen, meter.assistant.showAim);
  const live = new LivePicture(camera, onPicture, onError);
  let shownLines = [];

  async function onPicture({ url, reading }) {
    image.src = url;
    await image.decode().catch(() => {});
    screen.style.setProperty("--aspect", `${reading.width_px} / ${reading.height_px}`);
    blank.hidden = true;
    meter.draw(reading.focus);
    meter.assistant.draw(url, reading);
    level.draw(reading);
    drawWords(reading);
    screen.dataset.pictures = String(Number(screen.dataset.pictures ?? 0) + 1);
  }

  function onError(error) {
    setText(blank, sentenceOf(error));
    blank.hidden = false;
  }

  function drawWords(reading) {
    const lines = READINGS.map((name) => reading[name].text);
    if (lines.every((line, at) => line === shownLines[at])) return;
    shownLines = lines;
    show(words, element("dl", { class: "facts" }, lines.map((line, at) => (line ? [element("dt", {}, text(READINGS[at])), element("dd", {}, line)] : []))));
  }

  const toggle = (key, onSwitch) => {
    const made = button(text(key), () => {
      const on = made.getAttribute("aria-pressed") !== "true";
      made.setAttribute("aria-pressed", String(on));
      onSwitch(on);
    }, { "aria-pressed": "false" });
    return made;
  };
  const switches = element(
    "div",
    { class: "row", role: "group", "aria-label": text("picture_tools") },
    toggle("level_lines", (on) => level.show(on)),
    toggle("aim", (on) => aim.show(on)),
    toggle("night_view", (on) => live.setView(on ? "night" : "plain")),
  );
  const head = session.cameras.find((one) => one.name === camera)?.head ?? null;
  const heads = head === null ? null : headPanel(head);
  live.start();
  return {
    // All parts of variable height are below the pad: it must not move under a finger.
    element: element("div", { class: "beside" }, element("div", {}, screen, meter.bar), element("div", {}, heads?.pad, switches, meter.verdict, aim.element, words, heads?.element)),
    close() {
      live.stop();
      meter.assistant.close();
      aim.close();
      heads?.close();
    },
  };
}

/** The horizon, or without one a line through the middle that leans as the upright lines do, over a level one. */
function levelDrawing() {
  const line = (name) => svgElement("line", { class: name, x1: 0, x2: VIEW_BOX_PX, y1: VIEW_BOX_PX / 2, y2: VIEW_BOX_PX / 2, "vector-effect": "non-scaling-stroke" });
  const found = [line("level-edge"), line("level")];
  const made = svgElement("svg", { viewBox: `0 0 ${VIEW_BOX_PX} ${VIEW_BOX_PX}`, preserveAspectRatio: "none", "aria-hidden": "true" }, line("mark"), found);
  made.style.display = "none";
  return {
    element: made,
    show: (on) => (made.style.display = on ? "" : "none"),
    draw({ level, horizon, width_px, height_px }) {
      const rise = Math.tan(((level.lean_deg ?? 0) * Math.PI) / 180) * (width_px / height_px / 2);
      const left_y = horizon.left_y ?? 0.5 - rise;
      const right_y = horizon.right_y ?? 0.5 + rise;
      const isKnown = horizon.left_y !== null || level.lean_deg !== null;
      for (const one of found) {
        one.style.display = isKnown ? "" : "none";
        one.setAttribute("y1", String(left_y * VIEW_BOX_PX));
        one.setAttribute("y2", String(right_y * VIEW_BOX_PX));
      }
    },
  };
}

/** The focus as a share of the sharpest picture seen, which stays marked while the lens is turned on. */
function focusMeter(camera) {
  const fill = element("div", { class: "fill" });
  const threshold = element("div", { class: "threshold" });
  const peak = element("div", { class: "peak" });
  const bar = element("div", { class: "gauge", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0, "aria-label": text("focus") }, fill, threshold, peak);
  const amount = element("span", { class: "amount" });
  const verdict = element("span", { class: "words verdict", role: "status" });
  const restart = () => act("focus_reset", { camera }).catch((error) => setText(verdict, sentenceOf(error)));
  const assistant = focusAssistant(camera, restart);
  peak.style.insetInlineStart = "calc(100% - 3px)";
  return {
    bar: element("div", { class: "meter" }, element("span", { class: "name" }, text("focus")), bar, amount),
    verdict: element("div", { class: "row" }, verdict, button(text("focus_again"), restart), assistant.open, assistant.dialog),
    assistant,
    draw(focus) {
      const percent = focus.percent;
      fill.style.inlineSize = `${percent ?? 0}%`;
      threshold.style.insetInlineStart = `${focus.pass_percent}%`;
      peak.hidden = percent === null;
      bar.setAttribute("aria-valuenow", String(percent ?? 0));
      setText(amount, percent === null ? "–" : `${format(percent)} %`);
      setText(verdict, focus.text);
      verdict.dataset.ok = String(focus.is_in_focus);
    },
  };
}
