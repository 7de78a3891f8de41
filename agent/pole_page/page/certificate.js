// The newest certificate as a page of A4 and as a label with a QR code, to be printed by the phone.

import { element, svgElement } from "/editor/dom.js";
import { act, actPicture, BoxError } from "./box_api.js";
import { dateTime, text } from "./texts.js";
import { button, value } from "./widgets.js";

/** Return the certificate with its pictures and its label, and buttons that print one of them. */
export async function certificatePart() {
  const certificate = await act("certificate");
  const pictures = await loadFigures([
    ...certificate.cameras.map((camera) => ["aim_reference", { camera }, camera]),
    ...certificate.photos.map((title, at) => ["certificate_photo", { photo: at + 1 }, title]),
  ]);
  const print = (part) => () => {
    document.body.dataset.print = part;
    window.print();
  };
  return element(
    "div",
    {},
    element("div", { class: "row screen-only" }, button(text("print_certificate"), print("certificate"), { class: "first" }), button(text("print_label"), print("label"))),
    article(certificate, pictures),
    label(certificate),
  );
}

/** Return the pictures that the box shows, one after the other: a camera of others may have no viewer here. */
async function loadFigures(wanted) {
  const figures = [];
  for (const [name, args, title] of wanted) {
    try {
      const { blob } = await actPicture(name, args);
      const image = element("img", { src: URL.createObjectURL(blob), alt: title });
      await image.decode();
      figures.push(element("figure", {}, image, element("figcaption", {}, value(title))));
    } catch (error) {
      if (!(error instanceof BoxError)) throw error;
    }
  }
  return figures;
}

function article(certificate, pictures) {
  const { box, site, time, technician, version, public_key, serials, items, faults, notes } = certificate;
  const facts = [
    [text("box"), box],
    [text("site"), site],
    [text("date"), dateTime(time)],
    [text("technician"), technician],
    [text("software"), version],
    [text("public_key"), element("code", {}, public_key)],
    ...serials.map(({ device, name, number }) => [serialTitle(device, name), number]),
    [text("faults"), faults.length === 0 ? "–" : faults.join(text("comma"))],
    ...(notes === "" ? [] : [[text("notes"), notes]]),
  ];
  return element(
    "article",
    { class: "certificate" },
    element("h2", { tabindex: -1 }, text("certificate")),
    element("dl", { class: "facts" }, facts.map(([title, content]) => [element("dt", {}, title), element("dd", {}, value(content))])),
    element("h3", {}, text("commission_items")),
    element("ul", { class: "items" }, items.map(itemLine)),
    element("p", { class: "signature" }, text("certificate_received")),
    pictures.length === 0 ? null : element("div", { class: "figures" }, pictures),
  );
}

function itemLine({ title, finding, good, note }) {
  const verdict = good === null ? "–" : text(good ? "is_good" : "is_not_good");
  return element("li", {}, element("strong", {}, value(title)), ": ", value(finding), " ", element("span", { class: "verdict", "data-ok": String(good) }, verdict), note ? [": ", value(note)] : null);
}

/** Return the words for a device: the box, or a camera or head by its name. */
export function serialTitle(device, name) {
  return device === "box" ? text("serial_box") : text(device === "camera" ? "serial_camera" : "serial_head", { name });
}

/** The box's id and public key, for the housing. */
function label({ box, site, public_key, qr_rows }) {
  const path = qr_rows.flatMap((row, y) => [...row].map((module, x) => (module === "1" ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  const code = svgElement("svg", { viewBox: `0 0 ${qr_rows.length} ${qr_rows.length}`, role: "img", "aria-label": text("label_code"), "shape-rendering": "crispEdges" }, svgElement("path", { d: path }));
  return element("section", { class: "box-label", "aria-label": text("label") }, code, element("div", {}, element("strong", {}, value(box)), element("p", {}, value(site)), element("code", {}, public_key)));
}
