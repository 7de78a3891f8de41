// The texts of the page in one of three languages.

export const LANGUAGES = { en: "English", fr: "Français", ar: "العربية" };

export class Texts {
  /** `tables` is `{ en: { key: text }, fr: ..., ar: ... }`. */
  constructor(tables, language) {
    this.tables = Object.fromEntries(Object.keys(LANGUAGES).map((name) => [name, { ...tables[name] }]));
    this.language = language in LANGUAGES ? language : "en";
  }

  get direction() { return this.language === "ar" ? "rtl" : "ltr"; }

  add(tables) {
    for (const [language, texts] of Object.entries(tables)) Object.assign(this.tables[language], texts);
  }

  /** The text of a key, with its `{placeholders}` replaced. */
  text(key, values = {}) {
    const text = this.tables[this.language][key] ?? this.tables.en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  }
}

/** The first language that the browser prefers and the page has. */
export function preferredLanguage() {
  return navigator.languages.map((name) => name.slice(0, 2)).find((name) => name in LANGUAGES) ?? "en";
}
