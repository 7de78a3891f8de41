// The box itself: who is at it, the support bundle, an update from a file, the language, and the way out.

import { element } from "/editor/dom.js";
import { act, actFile, closeSession, sentenceOf, uploadFile } from "./box_api.js";
import { pause } from "./pause.js";
import { format, text } from "./texts.js";
import { button, setText, show, value } from "./widgets.js";
import { worker } from "./work.js";

const POLL_MS = 1000;
/** On a slow board root's unit takes seconds to start. */
const NO_ANSWER_S = 60;

/** Return the view. */
export function boxView({ session, status, languageButtons }) {
  const stopped = new AbortController();
  const facts = element("dl", { class: "facts" });
  const problems = element("ul", { class: "items" });

  function drawFacts() {
    const state = status.value;
    const own = [["box", session.box], ["site", session.site], ["technician", session.technician], ["agent", state?.agent ?? session.agent.words]];
    const rows = [...own.map(([key, content]) => [text(key), content]), ...(state?.rows ?? []).map((row) => [row.label, row.text])];
    show(facts, rows.map(([label, content]) => [element("dt", {}, label), element("dd", {}, content)]).flat());
    show(problems, (state?.problems ?? []).map((line) => element("li", {}, value(line))));
  }

  drawFacts();
  status.addEventListener("change", drawFacts);
  return {
    element: element("div", {}, facts, problems, bundlePart(), updatePart(session.box, stopped.signal), element("h2", {}, text("language")), languageButtons(), leavePart()),
    close() {
      stopped.abort();
      status.removeEventListener("change", drawFacts);
    },
  };
}

function bundlePart() {
  const { answer, work } = worker();
  const make = button(text("bundle_make"), () => work(make, async () => {
    const { blob, fileName } = await actFile("bundle");
    const url = URL.createObjectURL(blob);
    const link = element("a", { href: url, download: fileName });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    return text("bundle_made", { name: fileName, size: format(blob.size / 1000, 0) });
  }));
  return element("section", { "aria-label": text("bundle") }, element("h2", {}, text("bundle")), element("p", {}, text("bundle_how")), element("div", { class: "row" }, make), answer);
}

function updatePart(box, signal) {
  const answer = element("p", { class: "words", role: "status" });
  const lines = element("ul", { class: "items" });
  const bar = element("progress", { max: 1, value: 0, hidden: true, "aria-label": text("update_progress") });
  const file = element("input", { type: "file", id: "update-file", accept: ".raucb", change: () => send() });
  const label = element("label", { for: "update-file" }, text("update_choose"));
  const typed = element("input", { type: "text", autocapitalize: "none", autocomplete: "off", spellcheck: "false" });
  const slots = button(text("update_slots"), () => run(() => act("update_slots")));
  const sure = ["update_rollback", "update_good", "reboot"].map((name) => button(text(name), () => run(() => act(name, { box: typed.value.trim() }))));
  const pressed = [file, slots, ...sure];

  let followed = 0;

  function showState(state, isOwn) {
    show(lines, state.lines.map((line) => element("li", {}, value(line))));
    const words = [state.action, state.requester, text(`update_${state.state}`), state.step].filter(Boolean).join(" · ");
    setText(answer, isOwn ? words : text("update_last", { request: words }));
  }

  /**
   * Follow a request to its end, or until the next one is followed: root's unit does it, whatever becomes of the phone.
   * Nothing of another one is shown. Without an id it is the last one of the box, and named so.
   */
  async function follow(ownId = null) {
    const turn = ++followed;
    let id = ownId, answeredMs = performance.now();
    for (;;) {
      const state = await act("update_status", {}, { signal });
      if (turn !== followed) return;
      id ??= state.id;
      if (id === null) return;
      if (state.id === id) {
        showState(state, ownId !== null);
        if (state.state !== "waiting") answeredMs = performance.now();
        if (state.state === "done" || state.state === "failed") return;
      }
      if (performance.now() - answeredMs > NO_ANSWER_S * 1000) return setText(answer, text("update_no_answer", { seconds: NO_ANSWER_S }));
      await pause(POLL_MS, signal);
    }
  }

  async function run(begin) {
    for (const one of pressed) one.disabled = true;
    followed += 1;
    show(lines);
    setText(answer, "");
    try {
      const { id, text: words } = await begin();
      if (id === undefined) setText(answer, words);
      else await follow(id);
    } catch (error) {
      if (!signal.aborted) setText(answer, sentenceOf(error));
    } finally {
      for (const one of pressed) one.disabled = false;
      bar.hidden = true;
      file.value = "";
    }
  }

  function send() {
    const [chosen] = file.files;
    if (chosen === undefined) return;
    bar.hidden = false;
    run(() => uploadFile("update_install", {}, chosen, (share) => {
      bar.value = share;
      setText(answer, share < 1 ? text("update_sent", { percent: Math.floor(100 * share) }) : text("update_checked"));
    }));
  }

  follow().catch((error) => signal.aborted || followed > 1 || setText(answer, sentenceOf(error)));
  return element(
    "section",
    { "aria-label": text("update") },
    element("h2", {}, text("update")),
    element("p", {}, text("update_how")),
    lines,
    answer,
    bar,
    element("div", { class: "row" }, slots),
    element("div", { class: "file" }, file, label),
    element("label", {}, text("type_box", { box }), typed),
    element("div", { class: "row" }, sure),
  );
}

function leavePart() {
  const leave = button(text("log_out"), async () => {
    leave.disabled = true;
    await closeSession().catch(() => {});
    location.reload();
  });
  return element("section", { "aria-label": text("log_out") }, element("h2", {}, text("log_out")), element("p", {}, text("log_out_how")), element("div", { class: "row" }, leave));
}
