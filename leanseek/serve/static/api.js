// What the page asks the server, with the addresses that any program uses.

const KEY = "leanseek.key";

export class Refusal extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.param = error.param;
  }
}

export const addressOf = (path) => new URL(path, document.baseURI).href;

// The key stays in this tab, and out of addresses.
export const keep = (key) => sessionStorage.setItem(KEY, key);

async function ask(path, body, signal) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(addressOf(path), {
      method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { message: "The server does not answer. Is it running?" });
  }
  const found = await response.json().catch(() => ({}));
  if (response.ok) return found;
  throw new Refusal(response.status, found.error ?? { message: `The server answers with status ${response.status}.` });
}

// The body of a search: what differs from the defaults.
export function bodyOf(view, settings) {
  const body = { query: view.q };
  if (view.k !== 10) body.k = view.k;
  if (view.filter.trim()) body.filter = view.filter;
  if (view.p > 0) body.min_probability = view.p;
  if (settings.mode) body.mode = settings.mode;
  if (settings.collapse) body.collapse = true;
  if (settings.literal) body.literal = true;
  if (!settings.rerank) body.rerank = false;
  return body;
}

export const pathOf = (settings, what) => `indexes/${encodeURIComponent(settings.index)}/${what}`;

export const indexes = () => ask("indexes");
export const describe = (name) => ask(`indexes/${encodeURIComponent(name)}`);
export const search = (view, settings, facets, signal) =>
  ask(pathOf(settings, "search"), { ...bodyOf(view, settings), explain: true, facets }, signal);
export const suggest = (name, text, signal) =>
  ask(`indexes/${encodeURIComponent(name)}/suggest?text=${encodeURIComponent(text)}`, undefined, signal);
export const context = (view, settings) =>
  ask(pathOf(settings, "context"), { ...bodyOf(view, settings), k: view.k, literal: settings.literal });

// An id may be of any text, "..", too: as a parameter no browser rewrites it.
export async function wholeDocument(index, id) {
  const found = await ask(`indexes/${encodeURIComponent(index)}/documents?id=${encodeURIComponent(id)}`);
  if (!found.documents.length) throw new Refusal(404, { message: "The document is no longer in the index." });
  return found.documents[0];
}
