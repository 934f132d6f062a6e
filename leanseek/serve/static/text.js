// Texts as elements, and values as texts. Nothing here makes markup of a string.

import { html } from "./html.js";

// The text with its spans marked. The server counts characters, JavaScript half ones: an emoji is two.
export function marked(text, spans) {
  const characters = Array.from(text);
  const parts = [];
  let at = 0;
  for (const [start, end] of spans) {
    parts.push(characters.slice(at, start).join(""), html`<mark>${characters.slice(start, end).join("")}</mark>`);
    at = end;
  }
  return [...parts, characters.slice(at).join("")];
}

// Where in a document the text of a hit stands, as characters [start, end]; [] where it cannot be found.
export function placeOf(hit, text) {
  const characters = Array.from(text);
  const length = Array.from(hit.text).length;
  const start = hit.passage?.start ?? 0;
  if (characters.slice(start, start + length).join("") === hit.text) return [[start, start + length]];
  const found = hit.text ? text.indexOf(hit.text) : -1;
  if (found < 0) return [];
  const before = Array.from(text.slice(0, found)).length;
  return [[before, before + length]];
}

// A probability: few digits, never 0 or 1 for what is neither.
export function chance(p) {
  if (p === 0 || p === 1) return String(p);
  if (p > 0.995) return "> .99";
  if (p < 0.0005) return "< .001";
  return p.toFixed(p < 0.0995 ? 3 : 2).replace(/^0/, "");
}

export const number = (value) => value.toLocaleString("en");
export const score = (value) => (Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3));
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.)]$/.test(text) ? "" : "."}`;
export const shown = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
export const nameOf = (hit) => hit.title || hit.id;

// What tells hits apart: a document may be found by several of its passages.
export const identity = (hit) => `${hit.id}\u0000${hit.passage?.number ?? 0}`;
