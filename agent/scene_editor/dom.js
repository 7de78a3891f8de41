// Elements of HTML and SVG. Texts become text nodes, never markup: a camera's name is not ours.

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element. An attribute that is a function is a listener; null and false leave an attribute or a child out. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svgElement(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Children as they are given, in lists or not, without those that are left out. */
export function childNodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...childNodes(children));
  return node;
}

/** A drawn icon: the path of a 24 x 24 picture. */
export function icon(path) {
  return svgElement("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" }, svgElement("path", { d: path }));
}
