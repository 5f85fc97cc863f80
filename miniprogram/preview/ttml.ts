/**
 * TTML as a Vue template. Both have expressions in double braces, conditions, loops and event bindings; only the
 * spelling of attributes differs. What is not known here is an error, so that no page is shown by half.
 */

const ATTRIBUTE = /\s([\w:-]+)(?:="([^"]*)")?/g;
const TAG = /<(\/?)([a-z-]+)((?:\s[\w:-]+(?:="[^"]*")?)*)\s*(\/?)>/g;
const ELEMENTS = new Set(["view", "text", "button", "block"]);
const PLAIN = /^(class|style|id|disabled|hidden|data-[\w-]+|aria-[\w-]+)$/;

/** The template of `ttml`; events call `$fire(name, event)`. */
export function templateOf(ttml: string): string {
  return written(ttml.replace(/<!--[\s\S]*?-->/g, "")).replace(TAG, (_, closing, name, attributes, selfClosing) => {
    if (!ELEMENTS.has(name)) {
      throw new Error(`the preview knows no <${name}>`);
    }
    const tag = name === "block" ? "template" : name;
    return closing ? `</${tag}>` : `<${tag}${converted(attributes)}${selfClosing ? `></${tag}` : ""}>`;
  });
}

/** Templates written out where they are used: `<template is="x" data="{{name: value}}" />`, one name each. */
function written(ttml: string): string {
  const bodies = new Map<string, string>();
  const rest = ttml.replace(/<template name="([\w-]+)">([\s\S]*?)<\/template>/g, (_, name, body) => {
    bodies.set(name, body);
    return "";
  });
  return rest.replace(/<template is="([\w-]+)" data="\{\{(\w+): ([^{}]+)\}\}" \/>/g, (_, name, item, value) => {
    const body = bodies.get(name);
    if (body === undefined) {
      throw new Error(`there is no template ${name}`);
    }
    return `<block tt:for="{{[${value}]}}" tt:for-item="${item}">${body}</block>`;
  });
}

function converted(attributes: string): string {
  const given = new Map([...attributes.matchAll(ATTRIBUTE)].map(([, name = "", value = ""]) => [name, value]));
  const item = given.get("tt:for-item") ?? "item";
  const index = given.get("tt:for-index") ?? "index";
  return [...given].map(([name, value]) => attribute(name, value, item, index)).join("");
}

function attribute(name: string, value: string, item: string, index: string): string {
  switch (name) {
    case "tt:if":
      return ` v-if="${expression(value)}"`;
    case "tt:elif":
      return ` v-else-if="${expression(value)}"`;
    case "tt:else":
      return " v-else";
    case "tt:for":
      return ` v-for="(${item}, ${index}) in ${expression(value)}"`;
    case "tt:key":
      return ` :key="${value === "*this" ? item : `${item}.${value}`}"`;
    case "tt:for-item":
    case "tt:for-index":
      return "";
    case "bindtap":
      return ` @click="$fire('${value}', $event)"`;
    default:
      if (!PLAIN.test(name)) {
        throw new Error(`the preview knows no attribute ${name}`);
      }
      return plain(name === "aria-role" ? "role" : name, value);
  }
}

function plain(name: string, value: string): string {
  return value.includes("{{") ? ` :${name}="${joined(value)}"` : ` ${name}="${value}"`;
}

/** `{{a}}` as the value itself, `x {{a}} y` as a text. */
function joined(value: string): string {
  const whole = /^\{\{([^{}]*)\}\}$/.exec(value);
  return whole ? (whole[1] as string) : `\`${value.replace(/\{\{([^{}]*)\}\}/g, (_, inner) => `\${${inner}}`)}\``;
}

function expression(value: string): string {
  const whole = /^\{\{(.*)\}\}$/.exec(value);
  if (!whole) {
    throw new Error(`${value} is no expression in double braces`);
  }
  return whole[1] as string;
}

/** TTSS as CSS: 750 rpx are the width of the screen. */
export function stylesOf(ttss: string): string {
  return ttss.replace(/(\d+(?:\.\d+)?)rpx/g, (_, size) => `calc(100vw * ${size} / 750)`);
}
