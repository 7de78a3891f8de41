// Work that a button starts: the button is disabled meanwhile, and the outcome is one line.

import { element } from "/editor/dom.js";
import { sentenceOf } from "./box_api.js";
import { text } from "./texts.js";
import { setText } from "./widgets.js";

/** Return a status line, and a function that runs work with a button disabled and its outcome or error in that line. */
export function worker(signal = null) {
  const answer = element("p", { class: "words", role: "status" });
  async function work(pressed, run) {
    pressed.disabled = true;
    setText(answer, text("working"));
    try {
      setText(answer, (await run()) ?? "");
    } catch (error) {
      if (!signal?.aborted) setText(answer, sentenceOf(error));
    } finally {
      pressed.disabled = false;
    }
  }
  return { answer, work };
}
