// The page in one file: the texts, the picture and the scene are in blocks of data next to this program.

import { startEditor } from "./editor.js";
import { PANELS } from "./panels.js";
import { preferredLanguage } from "./texts.js";

const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");

const editor = startEditor(document.getElementById("editor"), {
  texts: read("editor-texts"),
  language: preferredLanguage(),
  panels: PANELS,
  ...read("editor-content"),
});

const setPageLanguage = () => {
  document.documentElement.lang = editor.language;
  document.documentElement.dir = editor.texts.direction;
  document.title = editor.t("title");
};
editor.on("language", setPageLanguage);
setPageLanguage();

window.addEventListener("beforeunload", (event) => {
  if (!editor.panel.isSaved) event.preventDefault();
});
