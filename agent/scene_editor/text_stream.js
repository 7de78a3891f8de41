// Text that comes in pieces, from a file or from the command that serves the page.

import { RefusedFile } from "./replay_data.js";

/** Read a stream of bytes as UTF-8 in pieces, so that a large text is never held as a whole. */
export async function readText(stream, take) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes, options) => {
    try {
      return decoder.decode(bytes, options);
    } catch {
      throw new RefusedFile("replay_not_text", {});
    }
  };
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      take(done ? decode() : decode(value, { stream: true }));
      if (done) return;
    }
  } catch (error) {
    await reader.cancel().catch(() => {});
    throw error;
  }
}
