/** The texts of the pages, read from their source: they are for people in a hurry. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import ts from "typescript";

const SOURCE = new URL("../src/coupons/", import.meta.url);
const LONGEST = 20;

/** Return the texts of a module, without the values that they are filled with. */
function literalsOf(node: ts.Node): string[] {
  const inner: string[] = [];
  node.forEachChild((child) => void inner.push(...literalsOf(child)));
  if (ts.isTemplateExpression(node)) {
    return [
      [node.head, ...node.templateSpans.map(({ literal }) => literal)].map(({ text }) => text).join(""),
      ...inner,
    ];
  }
  return ts.isStringLiteralLike(node) ? [node.text] : inner;
}

function textsOf(file: string): string[] {
  const source = readFileSync(new URL(file, SOURCE), "utf-8");
  return file.endsWith(".ts")
    ? literalsOf(ts.createSourceFile(file, source, ts.ScriptTarget.Latest))
    : source.replace(/\{\{.*?\}\}/g, "").match(/(?<=[>"'])[^<>"']+/g) || [];
}

test(`no sentence is longer than ${LONGEST} characters`, () => {
  const files = readdirSync(SOURCE, { recursive: true, encoding: "utf-8" });
  const texts = files.filter((file) => /(pages|visit|templates).*\.(ts|ttml)$/.test(file)).flatMap(textsOf);
  const sentences = texts
    .flatMap((text) => text.trim().split(/[。；！？]/))
    .filter((text) => /\p{Script=Han}/u.test(text));
  const isLong = ({ length }: string) => length > LONGEST;
  assert.deepEqual([sentences.length > 100, sentences.filter(isLong)], [true, []]);
});
