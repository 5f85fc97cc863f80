import { createRequire } from "node:module";

/** Load a module from `dist`: the tests run the same files as a phone. */
export function loadBuilt<T>(path: string): T {
  return createRequire(import.meta.url)(`../dist/${path}.js`) as T;
}
