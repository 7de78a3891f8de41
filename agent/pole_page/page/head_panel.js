// The head of a camera: its state, by hand, presets and tours.

import { element } from "/editor/dom.js";
import { act, sentenceOf } from "./box_api.js";
import { jogPad } from "./jog.js";
import { pause } from "./pause.js";
import { text } from "./texts.js";
import { button, setText, show, value } from "./widgets.js";

const PERIOD_MS = 1000;

/** Return the pad of a head, and the panel of its state, presets and tours. */
export function headPanel(head) {
  const state = element("p", { class: "words head-state" });
  const answer = element("p", { class: "words", role: "status" });
  const presets = element("ul", { class: "items" });
  const tours = element("div", { class: "row" });
  const toursPart = element("div", { hidden: true }, element("h2", {}, text("tours")), tours);
  const lamp = element("div", { class: "row", role: "group", "aria-label": text("lamp") });
  const name = element("input", { type: "text", maxlength: 32, autocapitalize: "none", autocomplete: "off", spellcheck: "false" });
  const stopped = new AbortController();
  let drawn = "";

  /** Have the head do an act, and show `done` of its value, or the refusal. */
  async function ask(name, args, done = () => "", options = {}) {
    try {
      setText(answer, done(await act(name, { head, ...args }, options)));
    } catch (error) {
      setText(answer, sentenceOf(error));
    }
  }

  const pad = jogPad({
    move: (velocities) => ask("jog", velocities),
    // Also from a page that is left: a stop must reach the box.
    stop: () => ask("head_stop", {}, undefined, { keepalive: true, priority: "high" }),
  });

  async function store(preset) {
    await ask("preset_set", { preset }, () => text("preset_stored", { preset }));
    return read();
  }

  async function storeNew() {
    const preset = name.value.trim();
    if (preset === "") return name.focus();
    name.value = "";
    return store(preset);
  }

  const tourButton = (tour, running) => button(tour, () => ask("tour_start", { tour }).then(read), { "aria-pressed": String(running === tour) });
  const lampButtons = (aux) => [true, false].map((on) => button(text(on ? "lamp_on" : "lamp_off"), () => ask("aux", { aux, on })));
  const presetItem = ({ name: preset }) => element("li", {}, value(preset), element(
    "div",
    { class: "row" },
    button(text("preset_go"), () => ask("goto", { preset }, ({ target }) => text("preset_moves", { target })), { "aria-label": text("preset_go_to", { preset }) }),
    button(text("preset_store"), () => store(preset), { "aria-label": text("preset_store_at", { preset }) }),
  ));

  async function read() {
    try {
      draw((await act("heads", {}, { signal: stopped.signal })).heads);
    } catch (error) {
      if (!stopped.signal.aborted) setText(state, sentenceOf(error));
    }
  }

  function draw(heads) {
    const found = heads.find(({ info }) => info.name === head);
    if (found === undefined) return;
    setText(state, found.text);
    const { tour: running, capabilities } = found.info;
    const key = JSON.stringify([found.presets, found.tours, running, capabilities]);
    if (key === drawn) return;
    drawn = key;
    show(presets, found.presets.map(presetItem));
    show(tours, found.tours.map((tour) => tourButton(tour, running)), running === null ? null : button(text("tour_stop"), () => ask("tour_stop").then(read)));
    show(lamp, capabilities?.aux.includes("ir") ? lampButtons("ir") : null);
    toursPart.hidden = found.tours.length === 0;
  }

  async function watch() {
    while (!stopped.signal.aborted) {
      if (!document.hidden) await read();
      await pause(PERIOD_MS, stopped.signal);
    }
  }

  watch();
  return {
    pad: pad.element,
    element: element(
      "section",
      { "aria-label": text("head_of", { head }) },
      element("h2", {}, text("head_of", { head })),
      state,
      answer,
      element("h2", {}, text("presets")),
      presets,
      element("label", {}, text("preset_name"), name),
      element("div", { class: "row" }, button(text("preset_new"), storeNew)),
      toursPart,
      lamp,
    ),
    close() {
      pad.close();
      stopped.abort();
    },
  };
}
