// The messages of the check in the language of the page. The check has the words of the box, in English: a message whose
// words are not known here stays as it is. Keys, values and names are never translated. Pure.

const ALLOWED = [
  [/^a text that is not empty$/, "mistake_text_not_empty"],
  [/^one line of 1 to 80 characters$/, "mistake_one_line"],
  [/^such as mon-fri 07:30-09:00, .+$/, "mistake_hours"],
  [/^a text$/, "mistake_text"],
  [/^a whole number$/, "mistake_whole_number"],
  [/^a number$/, "mistake_number"],
  [/^true or false$/, "mistake_boolean"],
  [/^a table$/, "mistake_table"],
  [/^a list$/, "mistake_list"],
  [/^(?<n>\S+) or more items$/, "mistake_items_least"],
  [/^at most (?<n>\S+) items$/, "mistake_items_most"],
  [/^(?<n>\d+) items$/, "mistake_items"],
  [/^at most (?<n>\S+) characters$/, "mistake_characters_most"],
  [/^(?<n>\S+) or more$/, "mistake_least"],
  [/^at most (?<n>\S+)$/, "mistake_most"],
  [/^above (?<n>\S+)$/, "mistake_above"],
  [/^below (?<n>\S+)$/, "mistake_below"],
];

const REASONS = [
  [/unknown key; allowed: (?<allowed>.+)$/, "mistake_unknown_key"],
  [/missing; it has to be given$/, "mistake_missing"],
  [/used by (?<other>\S+) already; allowed: a name of its own for each line, zone and flow$/, "mistake_name_used"],
  [/its edges cross; allowed: corners in order around the area$/, "mistake_edges_cross"],
  [/has no area; allowed: corners not all on one line$/, "mistake_no_area"],
  [/the same point as `from`; allowed: a line that has a length$/, "mistake_no_length"],
  [/the same as `forward_name`; allowed: a name of its own for each direction$/, "mistake_same_direction"],
  [/not in the scene; allowed: the name of a line or zone$/, "mistake_no_shape"],
  [/the same as `from`; allowed: another line or zone$/, "mistake_same_shape"],
  [/(?<other>\S+) has the same `from` and `to`; allowed: one flow from a line or zone to another$/, "mistake_same_flow"],
  [/counts nothing; allowed: a label in common with its `from` and its `to`$/, "mistake_no_label"],
  [/has no use with kind (?<kind>.+); allowed: with kind 'queue'$/, "mistake_not_queue"],
  [/there is no \[ground\]; allowed: with marks$/, "mistake_no_ground"],
  [/no part of (?:it|the line) is in the picture$/, "mistake_out_of_picture"],
  [/given with `(?<other>\w+)`; allowed: one of them$/, "mistake_given_twice"],
  [/(?<n>\d+) of them; allowed: at most (?<most>\d+)$/, "mistake_too_many"],
  [/(?<n>\d+) corners of zones, masks and ignored areas; allowed: at most (?<most>\d+)$/, "mistake_too_many_corners"],
  [/falls into parts in the picture; allowed: an area of which the picture shows one part$/, "mistake_in_parts"],
  [/lines and zones of a fisheye camera are drawn on its views; allowed: masks alone$/, "mistake_on_fisheye"],
  [/not valid TOML(?: 1\.0)?: (?<reason>.+)$/, "mistake_not_toml"],
];

/** Return a finding of the check in the words of `t(key, values)`, or its message if that has other words. */
export function findingWords({ message, groundError, lowDensity }, t) {
  if (groundError) return groundErrorWords(groundError, t);
  if (lowDensity) return lowDensityWords(lowDensity, t);
  for (const [pattern, key] of REASONS) {
    const found = new RegExp(`(?<=: )${pattern.source}`).exec(message);
    if (found) return message.slice(0, found.index) + t(key, found.groups);
  }
  const found = /(?<=: )(?:(?<kind>a list|a table); )?allowed: (?<allowed>[^;]+)$/.exec(message);
  const allowed = found && allowedWords(found.groups.allowed, t);
  if (!allowed) return message;
  const { kind } = found.groups;
  return message.slice(0, found.index) + (kind ? t("mistake_kind_allowed", { kind: allowedWords(kind, t), allowed }) : t("mistake_allowed", { allowed }));
}

/** Return the reason that marks of the ground are refused; they are numbered from 1. */
export function groundErrorWords({ code, values }, t) {
  const { index, other, apartM = 0 } = values;
  return t(`ground_error_${code}`, { ...values, apartM: apartM.toFixed(2), number: index + 1, other_number: other + 1 });
}

/** Return the warning about a line or zone with too few pixels for some of its labels. */
export function lowDensityWords({ name, px_per_m, needs }, t) {
  const needed = needs.map((need) => t("ground_need", { px_per_m: need.px_per_m, labels: need.labels.map((label) => t(`label_${label}`)).join(t("comma")) }));
  return t("ground_low_density", { name, px_per_m: px_per_m.toFixed(1), needed: needed.join(t("semicolon")) });
}

function allowedWords(text, t) {
  for (const [pattern, key] of ALLOWED) {
    const found = pattern.exec(text);
    if (found) return t(key, found.groups);
  }
  return /^'\w+'(?:, '\w+')*$/.test(text) ? text : null;
}
