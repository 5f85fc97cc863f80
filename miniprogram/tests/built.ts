import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Load a module from `dist`: the tests run the same files as a phone. `again`: run it even if it was loaded before. */
export function loadBuilt<T>(path: string, again = false): T {
  const file = require.resolve(`../dist/${path}.js`);
  if (again) {
    delete require.cache[file];
  }
  return require(file) as T;
}

/** Let every module run again when it is loaded: a new start of the mini-program. */
export function unloadBuilt(): void {
  for (const file of Object.keys(require.cache).filter((name) => name.includes("/dist/"))) {
    delete require.cache[file];
  }
}
