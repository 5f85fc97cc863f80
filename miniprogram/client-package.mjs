/**
 * Builds the npm package of the client in build/client, after tsc has written the type declarations there. Its version is
 * the version of the service.
 */

import { copyFile, readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

/** Bundle the client into one CommonJS file. */
async function bundle(minify) {
  const { outputFiles } = await build({
    entryPoints: ["src/coupons/client/client.ts"],
    bundle: true,
    minify,
    format: "esm",
    target: "es2015",
    charset: "utf8",
    write: false,
  });
  // esbuild's own CommonJS exports take 0.4 KB of the phone's download.
  const pattern = /export\s*\{\s*(?:([\w$]+) as )?createClient\s*\};/;
  const [code] = outputFiles.map((file) => file.text);
  if (!pattern.test(code)) {
    throw new Error("unexpected exports of the bundle");
  }
  return `"use strict";\n${code.replace(pattern, (_, name = "createClient") => `exports.createClient = ${name};`)}`;
}

await writeFile("build/client/client.js", await bundle(false));
await writeFile("build/client.min.js", await bundle(true));
for (const path of ["src/coupons/client/README.md", "src/coupons/client/README.zh-CN.md", "../LICENSE"]) {
  await copyFile(path, `build/client/${path.split("/").at(-1)}`);
}

const manifest = JSON.parse(await readFile("src/coupons/client/package.json", "utf8"));
const [, version] = /__version__ = "(.+)"/.exec(await readFile("../chalicelib/__init__.py", "utf8"));
await writeFile("build/client/package.json", `${JSON.stringify({ ...manifest, version }, null, 2)}\n`);
