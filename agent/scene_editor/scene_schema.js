// The keys of a scene file, in the order of agent/detection/scene.py.

const UNIT = { kind: "float", ge: 0, le: 1 };
const POINT = { kind: "tuple", items: [UNIT, UNIT] };
const NAME = {
  kind: "str",
  minLength: 1,
  maxLength: 80,
  // eslint-disable-next-line no-control-regex
  pattern: /^[^\x00-\x1f\x7f]+$/u,
  allowed: "one line of 1 to 80 characters",
};
const SECONDS = { kind: "float", gt: 0, le: 86400 };
const DAY = "(?:mon|tue|wed|thu|fri|sat|sun)";
const DAYS = `${DAY}(?:-${DAY})?`;
const TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]";
const WEEKLY_SPAN = {
  kind: "str",
  maxLength: 80,
  pattern: new RegExp(`^(?:${DAYS}(?:,${DAYS})* )?${TIME}-(?:${TIME}|24:00)$`, "u"),
  allowed: "such as mon-fri 07:30-09:00, sat,sun 22:00-06:00 or 22:00-06:00",
};

export const LABELS = ["person", "bicycle", "motorcycle", "car", "bus", "truck"];
export const ZONE_KINDS = ["carriageway", "pavement", "queue", "any"];

const LABEL_LIST = { kind: "list", item: { kind: "literal", values: LABELS }, minLength: 1 };
const CORNERS = { kind: "list", item: POINT, minLength: 3, maxLength: 64 };
const METRES = { kind: "float", ge: -10000, le: 10000 };
const GROUND_POINT = { kind: "tuple", items: [METRES, METRES] };
const GEO_POSITION = { kind: "tuple", items: [{ kind: "float", ge: -85, le: 85 }, { kind: "float", ge: -180, le: 180 }] };
const GROUND_CORNERS = { kind: "list", item: GROUND_POINT, minLength: 3, maxLength: 48 };
const BOOL = { kind: "bool" };
const required = (type) => ({ ...type, required: true });

const LINE = {
  kind: "table",
  fields: {
    name: required(NAME),
    from: required(POINT),
    to: required(POINT),
    from_m: GROUND_POINT,
    to_m: GROUND_POINT,
    forward_name: NAME,
    backward_name: NAME,
    events: BOOL,
    labels: LABEL_LIST,
  },
};

const ZONE = {
  kind: "table",
  fields: {
    name: required(NAME),
    polygon: required(CORNERS),
    polygon_m: GROUND_CORNERS,
    kind: { kind: "literal", values: ZONE_KINDS },
    labels: LABEL_LIST,
    events: BOOL,
    dwell_after_s: SECONDS,
    crowd_min_count: { kind: "int", ge: 2, le: 1000 },
    stopped_after_s: SECONDS,
    direction_deg: { kind: "float", ge: 0, lt: 360 },
    queue_min_count: { kind: "int", ge: 1, le: 1000 },
    parked_after_s: SECONDS,
    object_after_s: { kind: "float", ge: 10, le: 3600 },
    hours: { kind: "list", item: WEEKLY_SPAN, minLength: 1, maxLength: 16 },
  },
};

const FLOW = {
  kind: "table",
  fields: {
    name: required(NAME),
    from: required(NAME),
    to: required(NAME),
    labels: LABEL_LIST,
  },
};

const MARKED_POINT = { kind: "table", fields: { at: required(POINT), metres: GROUND_POINT, position: GEO_POSITION } };
const KNOWN_LENGTH = {
  kind: "table",
  fields: { from: required(POINT), to: required(POINT), metres: required({ kind: "float", ge: 0.5, le: 1000 }) },
};

export const GROUND = {
  kind: "table",
  fields: {
    point: { kind: "list", item: MARKED_POINT, minLength: 4, maxLength: 32 },
    length: { kind: "list", item: KNOWN_LENGTH, minLength: 2, maxLength: 16 },
    camera_height_m: { kind: "float", ge: 1, le: 100 },
    straight: { kind: "list", item: { kind: "list", item: POINT, minLength: 3, maxLength: 32 }, minLength: 1, maxLength: 16 },
    aspect: { kind: "float", ge: 0.2, le: 5 },
  },
};

const AREA = { kind: "table", fields: { polygon: required(CORNERS) } };

export const SCENE = {
  kind: "table",
  fields: {
    line: { kind: "list", item: LINE },
    zone: { kind: "list", item: ZONE },
    flow: { kind: "list", item: FLOW },
    mask: { kind: "list", item: AREA },
    ignore: { kind: "list", item: AREA },
    ground: GROUND,
  },
};

/** The tables of a scene, by list. */
export const MAX_TABLES = { line: 64, zone: 64, flow: 64, mask: 128, ignore: 64 };

/** Corners of all zones, masks and ignored areas together. */
export const MAX_SCENE_CORNERS = 1024;

/** The lists of a scene whose tables have points of their own. */
export const DRAWN_LISTS = ["line", "zone", "mask", "ignore"];

/** The lists of a scene, in the order of the page. A flow is drawn from one line or zone to another. */
export const ELEMENT_LISTS = ["line", "zone", "flow", "mask", "ignore"];

/** Values of keys that are not in the file. */
export const LINE_DEFAULTS = { forward_name: "forward", backward_name: "backward", events: false };
export const ZONE_DEFAULTS = { kind: "any", events: true };
