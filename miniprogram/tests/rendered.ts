/** Renders the templates of the pages as the preview does, but without a browser. A failing expression throws. */

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createSSRApp } from "vue";
import { renderToString } from "vue/server-renderer";
import { templateOf } from "../preview/ttml";

const PAGES = new URL("../src/coupons/pages/", import.meta.url).pathname;

/** Return the HTML of the page `certificate` or `certificates` with this data. */
export function rendered(page: string, data: object): Promise<string> {
  const path = join(PAGES, page, `${page}.ttml`);
  const read = (file: string) => readFileSync(join(dirname(path), file), "utf-8");
  const template = templateOf(readFileSync(path, "utf-8"), read, (what) => {
    throw new Error(what);
  });
  const app = createSSRApp({ template, setup: () => JSON.parse(JSON.stringify(data)) });
  app.config.compilerOptions.isCustomElement = (tag) => ["view", "text"].includes(tag);
  app.config.warnHandler = (message) => {
    throw new Error(message);
  };
  return renderToString(app);
}
