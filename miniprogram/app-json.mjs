/** Sets the prelaunch entry of dist/app.json to the compiled file. In src/app.json it is the .ts file, for the IDE. */

import { readFile, writeFile } from "node:fs/promises";

const app = JSON.parse(await readFile("src/app.json", "utf8"));
if (app.prelaunch) {
  app.prelaunch.entry = app.prelaunch.entry.replace(/\.ts$/, ".js");
  await writeFile("dist/app.json", `${JSON.stringify(app, null, 2)}\n`);
}
