// A search or a hit as something to paste elsewhere.

import { addressOf, bodyOf, context, pathOf } from "./api.js";
import { nameOf } from "./text.js";

// A word of a shell's command line.
export function quoted(text) {
  return /^[\w.,:=/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function curl(view, settings) {
  const body = JSON.stringify(bodyOf(view, settings));
  const key = sessionStorage.getItem("leanseek.key") ? ' -H "Authorization: Bearer $KEY"' : "";
  return `curl ${quoted(addressOf(pathOf(settings, "search")))}${key} -H 'Content-Type: application/json' -d ${quoted(body)}`;
}

// The same search on the command line; the server does not tell where its folders are.
export function command(view, settings) {
  const words = ["leanseek", "search", `${settings.index}.index`];
  if (view.k !== 10) words.push("-k", String(view.k));
  if (settings.mode) words.push("--mode", settings.mode);
  if (view.filter.trim()) words.push("--filter", quoted(view.filter));
  if (view.p > 0) words.push("--min-probability", String(view.p));
  if (settings.collapse) words.push("--collapse");
  if (settings.literal) words.push("--literal");
  if (view.q.startsWith("-")) words.push("--");
  words.push(quoted(view.q));
  return words.join(" ");
}

export function citation(hit, index) {
  const part = hit.passage && hit.passage.count > 1 ? `, passage ${hit.passage.number + 1} of ${hit.passage.count}` : "";
  const snippet = hit.snippet.text.replace(/^… | …$/g, "").trim();
  return `“${snippet}” ${nameOf(hit)} (${hit.title ? `${hit.id}, ` : ""}${index}${part})`;
}

export async function prompt(view, settings) {
  const found = await context(view, settings);
  return `Answer the question from the numbered passages alone, and cite them by their numbers.\n\n${found.text}\n\nQuestion: ${view.q}\n`;
}

// Put a text where it can be pasted from. False where the browser forbids it.
export async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // an address without TLS, for example
  }
}
