// The page at the pole: login by the one-time link, then five views over one session.

import { element } from "/editor/dom.js";
import { BoxError, onLoggedOut, openSession, readSession } from "./box_api.js";
import { BoxStatus } from "./box_status.js";
import { boxView } from "./box_view.js";
import { checksView } from "./checks_view.js";
import { installView } from "./install_view.js";
import { pictureView } from "./picture_view.js";
import { sceneView } from "./scene_view.js";
import { Shell } from "./shell.js";
import { language, LANGUAGES, text, useLanguage } from "./texts.js";
import { show } from "./widgets.js";

const VIEWS = { picture: pictureView, scene: sceneView, checks: checksView, install: installView, box: boxView };
const LANGUAGE_KEY = "vigie-language";

/** Return the language that was chosen on this phone, or that of the phone. */
function phoneLanguage() {
  const wanted = [localStorage.getItem(LANGUAGE_KEY), ...navigator.languages.map((one) => one.slice(0, 2))];
  return wanted.find((one) => one !== null && one in LANGUAGES) ?? "en";
}

/** Take the token out of the address: it is used up, and must not stay in the phone's history. */
function takeToken() {
  const token = location.hash.slice(1);
  if (!/^[a-z2-7]{26}$/.test(token)) return null;
  history.replaceState(null, "", "/");
  return token;
}

async function logIn(token) {
  if (token !== null) await openSession(token);
  return readSession();
}

/** Show one sentence in place of the page, with a button that tries again if that may help. */
function showEnd(heading, sentence, retry = null) {
  document.title = `Vigie: ${text("page_title")}`;
  const again = retry === null ? null : element("button", { type: "button", class: "first", click: retry }, text("try_again"));
  const head = element("h1", { tabindex: -1 }, heading);
  show(document.body, element("main", { class: "login" }, head, element("p", { id: "end" }, sentence), again, languageButtons()));
  head.focus();
}

function languageButtons() {
  const buttons = Object.entries(LANGUAGES).map(([key, name]) => element("button", {
    type: "button", lang: key, "aria-pressed": String(key === language()), click: () => chooseLanguage(key),
  }, name));
  return element("nav", { class: "row", "aria-label": text("language") }, buttons);
}

let shown = () => {};

async function chooseLanguage(key) {
  localStorage.setItem(LANGUAGE_KEY, key);
  await useLanguage(key);
  shown();
}

async function begin(token) {
  let session;
  try {
    session = await logIn(token);
  } catch (error) {
    if (!(error instanceof BoxError)) throw error;
    shown = () => {
      if (error.code === "session") showEnd(text("log_in"), text("log_in_how"));
      else if (error.code === "link") showEnd(text("link_refused"), text("link_refused_how"));
      else if (error.code === "too_many") showEnd(text("too_many"), text("too_many_how", { seconds: error.retryAfterS }), () => begin(token));
      else showEnd(text("not_reached"), text("not_reached_how"), () => begin(token));
    };
    shown();
    return;
  }
  if (localStorage.getItem(LANGUAGE_KEY) === null) await useLanguage(session.language);
  const status = new BoxStatus(session);
  const shell = new Shell({ views: VIEWS, session, status, languageButtons });
  shown = () => {
    shell.draw();
    // Its words are in the language of the request.
    status.refresh();
  };
  const end = (reason) => {
    shell.close();
    status.close();
    shown = () => showEnd(text("page_over"), text(reason));
    shown();
  };
  onLoggedOut(() => end("page_over_session"));
  status.addEventListener("off", () => end("page_over_console"));
  shell.draw();
  status.start();
}

await useLanguage(phoneLanguage());
await begin(takeToken());
addEventListener("hashchange", () => {
  const token = takeToken();
  if (token !== null) location.reload();
});
