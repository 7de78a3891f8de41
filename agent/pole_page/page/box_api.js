// Requests to the box. Each act is a POST of its arguments; errors are one line in the technician's language.

import { language, text } from "./texts.js";

const JSON_TYPE = "application/json";
const FILE_TYPE = "application/octet-stream";

/** An act that the box did not do. `code` is the box's, or `unreachable` if no answer came; `fault` is a fault code or null. */
export class BoxError extends Error {
  constructor(code, message, { fault = null, retryAfterS = 0 } = {}) {
    super(message);
    this.code = code;
    this.fault = fault;
    this.retryAfterS = retryAfterS;
  }
}

/** Return an error as one line for the technician. A mistake of the page itself is thrown on. */
export function sentenceOf(error) {
  if (!(error instanceof BoxError)) throw error;
  if (error.code === "unreachable") return text("no_answer");
  return error.fault === null ? error.message : `${error.fault}: ${error.message}`;
}

const ended = new EventTarget();

/** Call `listener` once the box knows this phone no more. */
export function onLoggedOut(listener) {
  ended.addEventListener("ended", listener);
}

async function send(method, path, type, body, options = {}) {
  let response;
  try {
    const headers = { "Content-Type": type, "Vigie-Language": language() };
    response = await fetch(path, { method, headers, body, cache: "no-store", credentials: "same-origin", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BoxError("unreachable", "");
  }
  if (response.ok) return response;
  throw await readError(response);
}

async function readError(response) {
  const body = await response.json().catch(() => ({}));
  return failure(response.status, body.error, Number(response.headers.get("Retry-After")));
}

function failure(status, error, retryAfterS) {
  const code = String(error?.code ?? status);
  if (code === "session") ended.dispatchEvent(new Event("ended"));
  return new BoxError(code, String(error?.message ?? status), { fault: error?.fault ?? null, retryAfterS: retryAfterS || 0 });
}

/** Log in with the token of a one-time link. */
export async function openSession(token) {
  await send("POST", "/api/session", JSON_TYPE, JSON.stringify({ link: token }));
}

/** Return the session: box, site, technician, cameras, heads and the seconds until the page turns off. */
export async function readSession() {
  let response;
  try {
    response = await fetch("/api/session", { cache: "no-store", headers: { "Vigie-Language": language() } });
  } catch {
    throw new BoxError("unreachable", "");
  }
  if (!response.ok) throw await readError(response);
  return response.json();
}

/** Wait for the end of the page, for half a minute at most. Return true once the page is off. */
export async function waitForEnd(options = {}) {
  let response;
  try {
    response = await fetch("/api/session/end", { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BoxError("unreachable", "");
  }
  if (!response.ok) throw await readError(response);
  return (await response.json()).is_off;
}

/** Log this phone out. */
export async function closeSession() {
  await send("DELETE", "/api/session", JSON_TYPE, undefined);
}

function post(name, args, options) {
  return send("POST", `/api/acts/${name}`, JSON_TYPE, JSON.stringify(args), options);
}

/** Have the box do an act, and return its value. */
export async function act(name, args = {}, options = {}) {
  return (await post(name, args, options)).json();
}

/** Yield the values of an act one by one, as the box finds them. Throws the error of the last line. */
export async function* actLines(name, args = {}, options = {}) {
  const reader = (await post(name, args, options)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const lines = (rest + (value ?? "")).split("\n");
      rest = done ? "" : lines.pop();
      for (const line of lines.filter((one) => one.trim() !== "")) yield readLine(line);
      if (done) return;
    }
  } catch (error) {
    if (error instanceof BoxError || error.name === "AbortError") throw error;
    throw new BoxError("unreachable", "");
  } finally {
    reader.cancel().catch(() => {});
  }
}

function readLine(line) {
  const value = JSON.parse(line);
  if (value !== null && typeof value === "object" && value.error?.code !== undefined) throw failure(200, value.error, 0);
  return value;
}

/** Return a picture as `{ blob, reading }`. */
export async function actPicture(name, args = {}, options = {}) {
  const response = await post(name, args, options);
  const reading = JSON.parse(response.headers.get("Vigie-Reading") ?? "{}");
  return { blob: await body(response), reading };
}

/** Have the box make a file, and return it as `{ blob, fileName }`. */
export async function actFile(name, args = {}, options = {}) {
  const response = await post(name, args, options);
  const found = /filename="?([\w.-]+)"?/.exec(response.headers.get("Content-Disposition") ?? "");
  return { blob: await body(response), fileName: found?.[1] ?? name };
}

async function body(response) {
  try {
    return await response.blob();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BoxError("unreachable", "");
  }
}

/** Send a file with an act, and return its value. `onProgress` gets the share that has left the phone. */
export function uploadFile(name, args, file, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/uploads/${name}?args=${encodeURIComponent(JSON.stringify(args))}`);
    request.setRequestHeader("Content-Type", FILE_TYPE);
    request.setRequestHeader("Vigie-Language", language());
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
    request.addEventListener("error", () => reject(new BoxError("unreachable", "")));
    request.addEventListener("load", () => {
      let value = {};
      try {
        value = JSON.parse(request.responseText || "{}");
      } catch {
        return reject(new BoxError(String(request.status), String(request.status)));
      }
      if (request.status === 200) return resolve(value);
      return reject(failure(request.status, value.error, Number(request.getResponseHeader("Retry-After"))));
    });
    request.send(file);
  });
}
