// What the address of the page holds: the query and its settings, so that a link shows what its sender saw.

// The settings of one side of a comparison.
const SETTINGS = { index: "", mode: "", rerank: true, collapse: false, literal: false };
const VIEW = { q: "", filter: "", p: 0, k: 10, compare: false };
const NUMBERS = { p: [0, 1], k: [1, 1000] };

function parse(name, text, value) {
  if (typeof value === "boolean") return text === "1";
  if (typeof value === "string") return text;
  const [least, most] = NUMBERS[name];
  const number = Number(text);
  return Number.isFinite(number) ? Math.min(most, Math.max(least, name === "k" ? Math.round(number) : number)) : value;
}

function read(parameters, defaults, prefix = "") {
  const found = {};
  for (const [name, value] of Object.entries(defaults)) {
    const text = parameters.get(prefix + name);
    found[name] = text === null ? value : parse(name, text, value);
  }
  return found;
}

function write(parameters, values, defaults, prefix = "") {
  for (const [name, value] of Object.entries(defaults)) {
    if (values[name] !== value) {
      parameters.set(prefix + name, typeof value === "boolean" ? (values[name] ? "1" : "0") : String(values[name]));
    }
  }
}

// The view that an address's parameters describe. What is not there, or cannot be, has its default.
export function viewOf(search) {
  const parameters = new URLSearchParams(search);
  const a = read(parameters, SETTINGS);
  return { ...read(parameters, VIEW), a, b: read(parameters, a, "b.") };
}

// The parameters that describe a view, "" for the empty one.
export function addressOf(view) {
  const parameters = new URLSearchParams();
  write(parameters, view, VIEW);
  write(parameters, view.a, SETTINGS);
  if (view.compare) write(parameters, view.b, view.a, "b.");
  const text = parameters.toString();
  return text ? `?${text}` : "";
}
