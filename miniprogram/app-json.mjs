/** Names the compiled prelaunch file in dist/app.json; in src, Douyin's IDE compiles it. */

import { readFile, writeFile } from "node:fs/promises";

const app = JSON.parse(await readFile("src/app.json", "utf8"));
if (app.prelaunch) {
  app.prelaunch.entry = app.prelaunch.entry.replace(/\.ts$/, ".js");
  await writeFile("dist/app.json", `${JSON.stringify(app, null, 2)}\n`);
}
