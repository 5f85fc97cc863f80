/** Rules of the folder `coupons`, read from its source. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import ts from "typescript";

const SOURCE = new URL("../src/coupons/", import.meta.url).pathname;

/** Return the modules that a module imports, types included. */
function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(SOURCE, file), "utf-8"));
  return importedFiles.map(({ fileName }) => `${join(dirname(file), fileName)}.ts`);
}

test("no module imports itself, over others", () => {
  let left = readdirSync(SOURCE, { recursive: true, encoding: "utf-8" }).filter((file) => file.endsWith(".ts"));
  assert.ok(left.length > 20);
  const isFree = (file: string) => !importsOf(file).some((imported) => left.includes(imported));
  while (left.some(isFree)) {
    left = left.filter((file) => !isFree(file));
  }
  assert.deepEqual(left, []);
});

/** Return the relative luminance of a color (WCAG 2). */
function luminance(color: number[]): number {
  const linear = (part: number) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const [red = 0, green = 0, blue = 0] = color.map((part) => linear(part / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test("accent, what is on it and on tags can be read, in both themes", () => {
  const styles = readFileSync(join(SOURCE, "styles.ttss"), "utf-8");
  const list = readFileSync(join(SOURCE, "pages/certificates/certificates.ttss"), "utf-8");
  const tint = Number(/opacity: ([\d.]+)/.exec(list)?.[1]);
  for (const theme of [0, 1]) {
    const value = (name: string) => [...styles.matchAll(new RegExp(`--${name}: #(\\w{6})`, "g"))][theme]?.[1] as string;
    const rgb = (name: string) => [0, 2, 4].map((at) => Number.parseInt(value(name).slice(at, at + 2), 16));
    const [accent, card, text] = [rgb("accent"), rgb("card"), rgb("on-accent")];
    const tinted = card.map((part, index) => part * (1 - tint) + (accent[index] as number) * tint);
    for (const [one, other] of [
      [accent, card],
      [accent, tinted],
      [accent, text],
      [rgb("quiet"), rgb("line")],
    ] as const) {
      const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
      assert.ok((light + 0.05) / (dark + 0.05) >= 4.5, `theme ${theme}: ${(light + 0.05) / (dark + 0.05)}`);
    }
  }
});
