import { createRequire } from "node:module";

/** A module of the mini-program as it was built: what a phone loads is what is tested. */
export function built<T>(path: string): T {
  return createRequire(import.meta.url)(`../dist/${path}.js`) as T;
}
