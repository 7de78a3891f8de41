// The panels of the page in addition to the form and the text: each is a function that installs itself.

export const PANELS = [];
