// Commissioning: each item with its finding, the technician's verdict, photos and notes, into the signed certificate.

import { element } from "/editor/dom.js";
import { act, actPicture, BoxError, uploadFile } from "./box_api.js";
import { certificatePart, serialTitle } from "./certificate.js";
import { shrinkPhoto } from "./photo.js";
import { language, text } from "./texts.js";
import { button, setText, show, value } from "./widgets.js";
import { worker } from "./work.js";

const MAX_NOTE_CHARS = 200;
const MAX_NOTES_CHARS = 2000;
const MAX_SERIAL_CHARS = 64;
/** Items that are judged by the picture of their camera; that of a ground has its marks. */
const PICTURED_ITEMS = ["aim", "ground"];

const KEEP_MS = 500;

/** The commissioning in hand: it outlives a look at another view, and the box keeps it for a page that is loaded again. */
let draft = null;
let keepTimer = null;
let keeping = Promise.resolve();
/** The requests for pictures, one after the other: the box refuses more than eight acts at once, and a form may have more pictures. */
let loading = Promise.resolve();
/** The order in which this page, as it was loaded, keeps: a request may overtake another. */
const order = { page_id: crypto.randomUUID(), number: 0 };

/** Return the view. */
export function installView({ status }) {
  const place = element("div");
  const { answer, work } = worker();

  const begin = button(text("commission_begin"), () => work(begin, async () => {
    draft = draftOf(await act("commission_begin"));
    show(place, form(work, signed));
    place.querySelector("h2").focus();
  }), { class: "first" });
  const compare = button(text("commission_compare"), () => work(compare, async () => {
    const { lines } = await act("commission_compare");
    show(place, linesList(lines));
  }));
  const certificate = button(text("certificate"), () => work(certificate, async () => {
    show(place, await certificatePart());
    place.querySelector("h2").focus();
  }));

  function signed(result) {
    draft = null;
    show(place, element("h2", { tabindex: -1 }, text("signed")), linesList(result.lines));
    place.querySelector("h2").focus();
    status.refresh();
  }

  async function readKept() {
    await keeping;
    const kept = await act("commission_read");
    if (kept === null) return;
    draft = draftOf(kept);
    show(place, form(work, signed));
  }

  const onHidden = () => document.hidden && keep({ keepalive: true });
  document.addEventListener("visibilitychange", onHidden);
  // The box has the items in the language that they were read in.
  if (draft?.language !== language()) work(begin, readKept);
  else show(place, form(work, signed));
  return {
    element: element("div", {}, element("div", { class: "screen-only" }, element("p", {}, text("commission_how")), element("div", { class: "row" }, begin, compare, certificate), answer), place),
    close() {
      document.removeEventListener("visibilitychange", onHidden);
      keep();
    },
  };
}

/** Return the commissioning that the box has in hand, as the form changes it. */
function draftOf({ items, answers, photos, notes, serials }) {
  const given = new Map(answers.map((one) => [one.id, one]));
  const toAnswer = (item) => {
    const { good, note } = given.get(item.id) ?? { good: item.good, note: null };
    return { ...item, hasPicture: PICTURED_ITEMS.includes(item.item) && item.good !== false, good, note: note ?? "" };
  };
  return { language: language(), answers: items.map(toAnswer), photos: photos.map(({ photo }) => ({ photo, url: null })), notes, serials };
}

/** Return the technician's answers, notes and serial numbers so far, as the box takes them. */
function given() {
  const answers = draft.answers.filter((one) => !one.is_judged && one.good !== null);
  return {
    answers: answers.map(({ id, good, note }) => ({ id, good, note: good ? null : note.trim() || null })),
    notes: draft.notes,
    serials: draft.serials.map(({ number }) => number),
  };
}

/** Have the box keep what was answered. Those that it could not keep come with the next ones. */
function keep(options = {}) {
  clearTimeout(keepTimer);
  // A page that is left may not live until the answer to the request before.
  keeping = options.keepalive ? Promise.all([keeping, sendKept(options)]) : keeping.then(() => sendKept(options));
}

async function sendKept(options) {
  if (draft === null) return;
  order.number += 1;
  try {
    await act("commission_keep", { ...given(), ...order }, options);
  } catch (error) {
    if (!(error instanceof BoxError)) throw error;
  }
}

function keepSoon() {
  clearTimeout(keepTimer);
  keepTimer = setTimeout(keep, KEEP_MS);
}

function linesList(lines) {
  return element("ul", { class: "items" }, lines.map((line) => element("li", {}, value(line))));
}

function form(work, signed) {
  const notes = element("textarea", { maxlength: MAX_NOTES_CHARS, input: () => {
    draft.notes = notes.value;
    keepSoon();
  } }, draft.notes);
  const photos = element("ul", { class: "photos" });
  const file = element("input", { type: "file", id: "photo", accept: "image/*", change: () => addPhoto() });
  file.setAttribute("capture", "environment");
  const fileLabel = element("label", { for: "photo" }, text("photo_take"));
  const open = element("p", { class: "words", role: "alert" });
  const sign = button(text("sign"), () => {
    const missing = draft.answers.find((one) => one.good === null);
    if (missing !== undefined) {
      setText(open, text("sign_missing", { item: missing.title }));
      return undefined;
    }
    setText(open, "");
    return work(sign, async () => {
      signed(await act("commission_sign", given()));
      return "";
    });
  }, { class: "first" });

  function addPhoto() {
    const [chosen] = file.files;
    if (chosen === undefined) return;
    work(file, async () => {
      let small;
      try {
        small = await shrinkPhoto(chosen);
      } catch {
        return text("photo_bad", { name: chosen.name });
      }
      const { photo } = await uploadFile("commission_photo", { title: text("photo_number", { number: draft.photos.length + 1 }) }, small);
      draft.photos.push({ photo, url: URL.createObjectURL(small) });
      drawPhotos();
      file.value = "";
      return text("photo_kept", { count: draft.photos.length });
    });
  }

  function drawPhotos() {
    show(photos, draft.photos.map((one, at) => {
      const name = text("photo_number", { number: at + 1 });
      const remove = button(text("photo_remove"), () => work(remove, async () => {
        await act("commission_photo_remove", { photo: one.photo });
        draft.photos.splice(draft.photos.indexOf(one), 1);
        drawPhotos();
      }), { "aria-label": text("photo_remove_number", { number: at + 1 }) });
      return element("li", {}, photoImage(one, name), remove);
    }));
  }

  drawPhotos();
  return element(
    "form",
    { submit: (event) => event.preventDefault() },
    element("h2", { tabindex: -1 }, text("commission_items")),
    draft.answers.map(itemFields),
    element("h2", {}, text("photos")),
    element("p", {}, text("photo_faces")),
    photos,
    element("div", { class: "file" }, file, fileLabel),
    element("h2", {}, text("serials")),
    draft.serials.map(serialField),
    element("h2", {}, text("notes")),
    element("label", {}, text("notes_how"), notes),
    open,
    element("div", { class: "row" }, sign),
  );
}

/** Return the field of a device's serial number, which the box knows for its own board at the most. */
function serialField(serial) {
  const input = element("input", { type: "text", maxlength: MAX_SERIAL_CHARS, autocapitalize: "characters", autocomplete: "off", spellcheck: "false", value: serial.number, input: () => {
    serial.number = input.value;
    keepSoon();
  } });
  return element("label", {}, serialTitle(serial.device, serial.name), input);
}

/** Return a place for a picture of the box, which is empty if it has none. */
function pictureOf(name, actName, args, onUrl = () => {}) {
  const image = element("img", { alt: name, hidden: true });
  loading = loading.then(() => showPicture(image, actName, args, onUrl));
  return image;
}

/** Show a picture of the box, if there is one and its place is still in the page. */
async function showPicture(image, actName, args, onUrl) {
  if (!image.isConnected) return;
  try {
    const { blob } = await actPicture(actName, args);
    image.src = URL.createObjectURL(blob);
    image.hidden = false;
    onUrl(image.src);
  } catch (error) {
    if (!(error instanceof BoxError)) reportError(error);
  }
}

/** Return a photo: from this page, or of the box after the page was loaded again. */
function photoImage(one, name) {
  if (one.url !== null) return element("img", { src: one.url, alt: name });
  return pictureOf(name, "commission_photo_read", { photo: one.photo }, (url) => (one.url = url));
}

/** Return a place for the inspected picture of an item. */
function inspectedPicture({ subject: camera, item }) {
  return element("div", { class: "inspected" }, pictureOf(text("picture_inspected", { camera }), "commission_picture", { camera, item }));
}

function itemFields(answer, at) {
  const verdict = (good) => {
    const radio = element("input", { type: "radio", name: `item-${at}`, checked: answer.good === good, disabled: answer.is_judged, change: () => {
      answer.good = good;
      note.hidden = good;
      keepSoon();
    } });
    return element("label", { class: "choice" }, radio, text(good ? "is_good" : "is_not_good"));
  };
  const input = element("input", { type: "text", maxlength: MAX_NOTE_CHARS, value: answer.note, input: () => {
    answer.note = input.value;
    keepSoon();
  } });
  const note = element("label", { hidden: answer.good !== false || answer.is_judged }, text("reason"), input);
  return element("fieldset", {}, element("legend", {}, value(answer.title)), element("p", { class: "words" }, answer.finding), answer.hasPicture ? inspectedPicture(answer) : null, verdict(true), verdict(false), note);
}
