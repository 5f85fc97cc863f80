/** The settings of `config.ts`, which may be that of an older version of this folder. */

import { config } from "./config";
import type { Config } from "./settings";

export const settings: Config = config;
