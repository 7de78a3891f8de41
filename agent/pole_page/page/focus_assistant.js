// Focus, level and aim in figures that are read from a ladder, metres away; the focus as a tone for the one at the lens.

import { element } from "/editor/dom.js";
import { format, text } from "./texts.js";
import { button, setText, show, value } from "./widgets.js";

const LOW_HZ = 220;
const OCTAVES = 2;
const VOLUME = 0.3;
const SMOOTHING_S = 0.03;
/** A tone must not outlast its reading: it ends if no picture comes, such as out of reach or while the page is hidden. */
const HOLD_S = 1.5;

/** Return the pitch of a share of the sharpest picture seen: two octaves, the highest at the sharpest. */
export function toneHz(percent) {
  return LOW_HZ * 2 ** ((OCTAVES * Math.min(100, Math.max(0, percent))) / 100);
}

/** A tone that follows the focus. A browser lets it begin by a touch only. */
class FocusTone {
  #audio = new AudioContext();
  #oscillator = new OscillatorNode(this.#audio, { frequency: LOW_HZ });
  #gain = new GainNode(this.#audio, { gain: 0 });

  constructor() {
    this.#oscillator.connect(this.#gain).connect(this.#audio.destination);
    this.#oscillator.start();
  }

  /** Follow a reading, or be silent without one. */
  follow(percent) {
    const now_s = this.#audio.currentTime;
    const { gain } = this.#gain;
    gain.cancelScheduledValues(now_s);
    gain.setTargetAtTime(percent === null ? 0 : VOLUME, now_s, SMOOTHING_S);
    gain.setTargetAtTime(0, now_s + HOLD_S, SMOOTHING_S);
    if (percent !== null) this.#oscillator.frequency.setTargetAtTime(toneHz(percent), now_s, SMOOTHING_S);
  }

  close() {
    this.#audio.close();
  }
}

/** Return a button that opens the large figures of a camera, and the dialog. `restart` forgets the sharpest picture. */
export function focusAssistant(camera, restart) {
  const image = element("img", { alt: text("picture_of", { camera }) });
  const figure = element("p", { class: "figure" }, "–");
  const fill = element("div", { class: "fill" });
  const threshold = element("div", { class: "threshold" });
  const lean = element("p", { class: "lean" });
  const aim = element("div", { class: "aim" });
  const verdict = element("p", { class: "verdict", role: "status" });
  let tone = null;
  let screenLock = null;

  const toneSwitch = button(text("focus_tone"), () => {
    if (tone === null) tone = new FocusTone();
    else silence();
    toneSwitch.setAttribute("aria-pressed", String(tone !== null));
  }, { "aria-pressed": "false" });

  function silence() {
    tone?.close();
    tone = null;
    toneSwitch.setAttribute("aria-pressed", "false");
  }

  const dialog = element(
    "dialog",
    { class: "focus-assistant", "aria-label": text("focus_large"), close: () => {
      silence();
      screenLock?.then((lock) => lock?.release());
      screenLock = null;
    } },
    element("p", { class: "name" }, text("focus_of_best")),
    figure,
    element("div", { class: "gauge", "aria-hidden": "true" }, fill, threshold),
    verdict,
    element("div", { class: "small" }, image, element("div", {}, lean, aim)),
    element("div", { class: "row" }, toneSwitch, button(text("focus_again"), restart), button(text("close"), () => dialog.close(), { class: "first" })),
  );

  return {
    dialog,
    open: button(text("focus_large"), () => {
      dialog.showModal();
      // The phone's screen stays on without a touch, where the phone permits that.
      screenLock = navigator.wakeLock?.request("screen").catch(() => null) ?? null;
    }),
    draw(url, { focus, level }) {
      if (!dialog.open) return;
      image.src = url;
      setText(figure, focus.percent === null ? "–" : format(focus.percent));
      fill.style.inlineSize = `${focus.percent ?? 0}%`;
      threshold.style.insetInlineStart = `${focus.pass_percent}%`;
      setText(verdict, focus.text);
      verdict.dataset.ok = String(focus.is_in_focus);
      setText(lean, level.lean_deg === null ? "" : `${text("level")} ${format(level.lean_deg, 1)}°`);
      tone?.follow(focus.percent);
    },
    showAim: (lines) => show(aim, lines.map((line) => element("p", {}, value(line)))),
    close: () => dialog.close(),
  };
}
