/** Completes the npm package of the client in build/client. Its version is the version of the service. */

import { copyFile, readFile, writeFile } from "node:fs/promises";

for (const path of ["src/coupons/client/README.md", "src/coupons/client/README.zh-CN.md", "../LICENSE"]) {
  await copyFile(path, `build/client/${path.split("/").at(-1)}`);
}

const manifest = JSON.parse(await readFile("src/coupons/client/package.json", "utf8"));
const [, version] = /__version__ = "(.+)"/.exec(await readFile("../chalicelib/__init__.py", "utf8"));
await writeFile("build/client/package.json", `${JSON.stringify({ ...manifest, version }, null, 2)}\n`);
