// Files that a person opens, drops or saves. They never leave the page but by saving.

import { SceneDocument } from "./scene_document.js";
import { MAX_TEXT_BYTES } from "./toml_text.js";

const MAX_PICTURE_BYTES = 134_217_728;
const MAX_PICTURE_PX = 16_384;
const PICTURE_TYPES = ["image/jpeg", "image/png", "image/webp"];
const URL_LIFE_MS = 60_000;

/** Open a picture, a scene, or a file that a panel knows. Throws an Error with a text for the person. */
export async function openFile(editor, file) {
  const handler = editor.fileHandlers.find((each) => each.matches(file));
  if (handler) await handler.open(file);
  else if (PICTURE_TYPES.includes(file.type)) openPicture(editor, await readPicture(editor, file));
  else if (file.name.endsWith(".toml")) editor.open(await readScene(editor, file), editor.picture);
  else throw new Error(editor.t("unknown_file", { name: file.name }));
}

/** Show a picture; a scene that is still new is named after it. */
function openPicture(editor, picture) {
  if (!editor.document.isNew) editor.setPicture(picture);
  else editor.open(new SceneDocument("", `${picture.name.replace(/\.[^.]+$/, "")}.toml`), picture);
}

/** Read a picture within the bounds. Throws an Error with a text for the person. */
export async function readPicture(editor, file) {
  if (file.size > MAX_PICTURE_BYTES) throw new Error(editor.t("file_too_large", { name: file.name }));
  const url = URL.createObjectURL(file);
  const size = await pictureSize(url);
  const isTooLarge = size !== null && Math.max(size.width_px, size.height_px) > MAX_PICTURE_PX;
  if (size === null || isTooLarge) {
    URL.revokeObjectURL(url);
    throw new Error(editor.t(isTooLarge ? "file_too_large" : "not_a_picture", { name: file.name }));
  }
  return { url, name: file.name, ...size };
}

/** The size of a picture, or null if the browser cannot show it. */
export async function pictureSize(url) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    return null;
  }
  return { width_px: image.naturalWidth, height_px: image.naturalHeight };
}

/** Read a scene file within the bounds. Throws an Error with a text for the person. */
export async function readScene(editor, file) {
  if (file.size > MAX_TEXT_BYTES) throw new Error(editor.t("file_too_large", { name: file.name }));
  try {
    return new SceneDocument(new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()), file.name);
  } catch {
    throw new Error(editor.t("not_text", { name: file.name }));
  }
}

const savedTo = new WeakMap();

/**
 * Save the text: to a file that the person chooses at the first time, or as a download if the browser cannot ask. The
 * file is written aside and replaced as a whole when it is closed.
 */
export async function saveScene(editor) {
  const saved = editor.panel.edited;
  const { text, name } = saved;
  const blob = new Blob([text], { type: "application/toml" });
  if (window.showSaveFilePicker) {
    try {
      if (!savedTo.has(saved)) savedTo.set(saved, await window.showSaveFilePicker({ suggestedName: name, types: [{ description: "TOML", accept: { "application/toml": [".toml"] } }] }));
    } catch (error) {
      if (error.name === "AbortError") return;
      throw error;
    }
    const writable = await savedTo.get(saved).createWritable();
    await writable.write(blob);
    await writable.close();
  } else {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), URL_LIFE_MS);
  }
  saved.markSaved(text);
  editor.announce(editor.t("saved", { name }));
}
