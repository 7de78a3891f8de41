// The panels of the page in addition to the form and the text: each is a function that installs itself.

import { installFisheye } from "./fisheye_panel.js";
import { installGround } from "./ground_panel.js";
import { installPresets } from "./presets.js";
import { installReplay } from "./replay.js";

export const PANELS = [installGround, installReplay, installPresets, installFisheye];
