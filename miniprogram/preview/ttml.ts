/**
 * Converts TTML to a Vue template and TTSS to CSS. Vue has the same conditions, loops, event bindings and expressions;
 * only the names of the attributes differ.
 */

const ATTRIBUTE = /\s([\w:-]+)(?:="([^"]*)")?/g;
const TAG = /<(\/?)([a-z-]+)((?:\s[\w:-]+(?:="[^"]*")?)*)\s*(\/?)>/g;
const ELEMENTS = new Set(["view", "text", "button", "block"]);
const HTML_ATTRIBUTE = /^(class|style|id|type|value|placeholder|disabled|hidden|data-[\w-]+|aria-[\w-]+)$/;

type Report = (what: string) => void;

/**
 * Convert TTML to a Vue template. `read` returns a file by its relative path. Event handlers call `$fire(name, event)`.
 * `reportUnsupported` is called for each part that the preview does not support. Such an element becomes a view; such
 * an attribute is removed.
 */
export function templateOf(ttml: string, read: (path: string) => string, reportUnsupported: Report): string {
  const whole = ttml.replace(/<import src="([^"]+)" \/>/g, (_, path) => read(path));
  return inlineTemplates(whole.replace(/<!--[\s\S]*?-->/g, "")).replace(
    TAG,
    (_, closing, name, attributes, selfClosing) => {
      if (!closing && !ELEMENTS.has(name)) {
        reportUnsupported(`<${name}>`);
      }
      const tag = name === "block" ? "template" : ELEMENTS.has(name) ? name : "view";
      const converted = convertAttributes(attributes, reportUnsupported);
      return closing ? `</${tag}>` : `<${tag}${converted}${selfClosing ? `></${tag}` : ""}>`;
    },
  );
}

/** Replace each `<template is="x" data="{{name: value, …}}" />` by the body of template x. `data` is optional. */
function inlineTemplates(ttml: string): string {
  const bodies = new Map<string, string>();
  const rest = ttml.replace(/<template name="([\w-]+)">([\s\S]*?)<\/template>/g, (_, name, body) => {
    bodies.set(name, body);
    return "";
  });
  const inline = (text: string): string =>
    text.replace(/<template is="([\w-]+)"(?: data="\{\{([^{}]+)\}\}")? \/>/g, (_, name: string, values?: string) => {
      const body = bodies.get(name);
      if (body === undefined) {
        throw new Error(`there is no template ${name}`);
      }
      // A Vue template has no local variables, but a loop over one value defines a name. The body may use templates.
      return (values?.split(", ") ?? []).reduce((inner, pair) => {
        const [item, value] = pair.split(": ");
        return `<block tt:for="{{[${value}]}}" tt:for-item="${item}">${inner}</block>`;
      }, inline(body));
    });
  return inline(rest);
}

function convertAttributes(text: string, reportUnsupported: Report): string {
  const attributes = new Map([...text.matchAll(ATTRIBUTE)].map(([, name = "", value = ""]) => [name, value]));
  const item = attributes.get("tt:for-item") ?? "item";
  const index = attributes.get("tt:for-index") ?? "index";
  const convert = ([name, value]: [string, string]) => {
    const converted = convertAttribute(name, value, item, index);
    if (converted === undefined) {
      reportUnsupported(`the attribute ${name}`);
    }
    return converted ?? "";
  };
  return [...attributes].map(convert).join("");
}

/** Convert one attribute; undefined if the preview does not support it. */
function convertAttribute(name: string, value: string, item: string, index: string): string | undefined {
  switch (name) {
    case "tt:if":
      return ` v-if="${expressionOf(value)}"`;
    case "tt:elif":
      return ` v-else-if="${expressionOf(value)}"`;
    case "tt:else":
      return " v-else";
    case "tt:for":
      return ` v-for="(${item}, ${index}) in ${expressionOf(value)}"`;
    case "tt:key":
      return ` :key="${value === "*this" ? item : `${item}.${value}`}"`;
    case "tt:for-item":
    case "tt:for-index":
      return "";
    case "bindtap":
      return ` @click="$fire('${value}', $event)"`;
    default:
      return HTML_ATTRIBUTE.test(name) ? htmlAttribute(name === "aria-role" ? "role" : name, value) : undefined;
  }
}

function htmlAttribute(name: string, value: string): string {
  return value.includes("{{") ? ` :${name}="${bindingOf(value)}"` : ` ${name}="${value}"`;
}

/** Convert `{{a}}` to the expression a, and `x {{a}} y` to a template literal. */
function bindingOf(value: string): string {
  const match = /^\{\{([^{}]*)\}\}$/.exec(value);
  return match ? (match[1] as string) : `\`${value.replace(/\{\{([^{}]*)\}\}/g, (_, inner) => `\${${inner}}`)}\``;
}

function expressionOf(value: string): string {
  const match = /^\{\{(.*)\}\}$/.exec(value);
  if (!match) {
    throw new Error(`${value} must be an expression in double braces`);
  }
  return match[1] as string;
}

/** Convert TTSS to CSS: 750 rpx are the width of the screen. `read` returns a file by its relative path. */
export function stylesOf(ttss: string, read: (path: string) => string): string {
  const whole = ttss.replace(/@import "([^"]+)";/g, (_, path) => read(path));
  return whole.replace(/(\d+(?:\.\d+)?)rpx/g, (_, size) => `calc(100vw * ${size} / 750)`);
}
