// What a search is asked with: the box, the filter with its error, the least probability, and the settings of a side.

import { html } from "./html.js";
import { chance, number, plural, shown } from "./text.js";

const STOPS = [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
const MODES = [
  ["", "Hybrid", "Words and meaning, fused"],
  ["sparse", "Words", "BM25 alone"],
  ["dense", "Meaning", "Vectors alone"],
  ["learned", "Learned", "Words that a model gives to texts, alone"],
];

// The box, with suggestions below while a person types: a combobox whose list the arrow keys walk through.
export function QueryBox({ view, busy, suggested, at, act }) {
  const submit = (event) => {
    event.preventDefault();
    act.look({ q: event.target.elements.q.value }, "now");
    act.suggest("");
  };
  const press = (event) => {
    if (!suggested.length || event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const places = suggested.length + 1; // one of them is the box itself
      act.point((at + 1 + step + places) % places - 1);
    } else if (event.key === "Enter" && at >= 0) act.pick(suggested[at]);
    else if (event.key === "Escape") act.suggest("");
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`
    <form class="query" role="search" onSubmit=${submit}>
      <label class="hidden" for="q">Search for</label>
      <input id="q" name="q" type="search" autocomplete="off" spellcheck=${false} autofocus
        placeholder="Ask a question, or give words" value=${view.q}
        role="combobox" aria-autocomplete="list" aria-controls="suggested" aria-expanded=${String(suggested.length > 0)}
        aria-activedescendant=${at >= 0 ? `suggested-${at}` : undefined}
        onInput=${(event) => {
          act.look({ q: event.target.value }, "typing");
          act.suggest(event.target.value);
        }}
        onKeyDown=${press} onBlur=${() => act.suggest("")} />
      <span class=${busy ? "busy on" : "busy"} aria-hidden="true"></span>
      <ul id="suggested" class="suggested" role="listbox" aria-label="Suggestions" hidden=${!suggested.length}>
        ${suggested.map((one, place) => html`
          <li id=${`suggested-${place}`} role="option" aria-selected=${String(place === at)} class=${one.kind}
            onMouseDown=${(event) => { event.preventDefault(); act.pick(one); }}>${one.text}</li>`)}
      </ul>
    </form>`;
}

export function FilterBox({ view, record, problem, act }) {
  const [field] = Object.entries(record?.fields ?? {});
  const example = field ? condition(field[0], Object.values(field[1])[0]) : 'title contains "a word"';
  return html`
    <div class="filter">
      <label for="filter">Filter</label>
      <input id="filter" class="code" autocomplete="off" autocapitalize="off" spellcheck=${false}
        placeholder=${example} value=${view.filter}
        aria-invalid=${problem ? "true" : "false"} aria-describedby=${problem ? "filter-problem" : undefined}
        onInput=${(event) => act.look({ filter: event.target.value }, "typing")} />
      ${problem && html`<${FilterProblem} message=${problem.message} />`}
    </div>`;
}

// The parser's error: what is wrong, the filter with a caret under the place, and an example.
function FilterProblem({ message }) {
  const lines = message.split("\n");
  const caret = lines.findIndex((line) => line.trim() === "^");
  const place = caret > 0 ? lines.splice(caret - 1, 2) : [];
  return html`
    <div id="filter-problem" class="problem" role="alert">${lines[0]}
      ${place.length > 0 && html`<pre tabindex="0" role="group" aria-label="The place">${place.join("\n")}</pre>`}
      ${lines.slice(1).join("\n")}</div>`;
}

export function LeastChance({ view, act }) {
  const at = STOPS.findLastIndex((stop) => stop <= view.p);
  const said = view.p === 0 ? "any" : `at least ${chance(view.p)}`;
  return html`
    <div class="least">
      <label for="p">Probability <output for="p">${said}</output></label>
      <input id="p" type="range" min="0" max=${STOPS.length - 1} step="1" value=${at} aria-valuetext=${said}
        onInput=${(event) => act.look({ p: STOPS[Number(event.target.value)] }, "typing")} />
    </div>`;
}

export function Settings({ side, view, indexes, record, act }) {
  const settings = view[side];
  const change = (patch) => act.look({ [side]: { ...settings, ...patch } }, "now");
  const box = (name, label, checked, patch) => html`
    <label class="tick" title=${label[1]}>
      <input type="checkbox" name=${`${side}-${name}`} checked=${checked}
        onChange=${(event) => change(patch(event.target.checked))} />
      ${label[0]}
    </label>`;
  return html`
    <fieldset class="settings" data-side=${side}>
      <legend class=${view.compare ? "" : "hidden"}>${side === "a" ? "First" : "Second"}</legend>
      ${(indexes.length > 1 || view.compare) && html`
        <label class="select"><span class="hidden">Index</span>
          <select name=${`${side}-index`} value=${settings.index}
            onChange=${(event) => change({ index: event.target.value })}>
            ${indexes.map((one) => html`
              <option value=${one.name} selected=${one.name === settings.index}
                >${one.name}${one.ready ? "" : " (unreadable)"}</option>`)}
          </select>
        </label>`}
      ${record?.sides.length > 1 && html`
        <span class="modes" role="radiogroup" aria-label="Search by">
          ${MODES.filter(([mode]) => !mode || record.sides.includes(mode)).map(([mode, label, title]) => html`
            <label title=${title}>
              <input type="radio" name=${`${side}-mode`} value=${mode} checked=${settings.mode === mode}
                onChange=${() => change({ mode })} />
              <span>${label}</span>
            </label>`)}
        </span>`}
      ${record?.reranker && box("rerank", ["Re-rank", "The server's re-rankers order the first hits anew"],
        settings.rerank, (rerank) => ({ rerank }))}
      ${box("collapse", ["Merge copies", "Passages that say the same are one hit"],
        settings.collapse, (collapse) => ({ collapse }))}
      ${box("literal", ["Literal", "Signs and quotes of the query mean nothing special"],
        settings.literal, (literal) => ({ literal }))}
    </fieldset>`;
}

const NAME = /^[\p{L}_][\p{L}\p{N}_.-]*$/u;
const WORDS = new Set(["and", "or", "not", "in", "contains", "is", "null", "true", "false"]);
const ESCAPES = { "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t" };

// A condition of the filter language: a field has a value.
export function condition(field, value) {
  const name = NAME.test(field) && !WORDS.has(field.toLowerCase()) ? field : `\`${field.replaceAll("`", "``")}\``;
  const literal = typeof value === "string" ? `"${value.replace(/[\\"\n\r\t]/g, (one) => ESCAPES[one])}"` : String(value);
  return `${name} = ${literal}`;
}

// A filter with one more condition, or without it where it is there already.
export function toggled(filter, clause) {
  const before = filter.trim();
  if (!before || before === clause) return before ? "" : clause;
  for (const [written, left] of [[` and ${clause} and `, " and "], [`${clause} and `, ""], [` and ${clause}`, ""]]) {
    if (before.includes(written)) return before.replace(written, () => left);
  }
  return `${/\bor\b/i.test(before) ? `(${before})` : before} and ${clause}`;
}

// The values that several of the hits share, by field, and those that the filter names, the more hits the sooner:
// [{field, values: [[value, count], …]}, …].
export function facetsOf(hits, filter) {
  const fields = new Map();
  for (const hit of hits) {
    for (const [field, given] of Object.entries(hit.metadata)) {
      for (const value of new Set(Array.isArray(given) ? given : [given])) {
        if (value === null || typeof value === "object" || String(value).length > 60) continue;
        const counts = fields.get(field) ?? fields.set(field, new Map()).get(field);
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
    }
  }
  return [...fields]
    .map(([field, counts]) => ({ field, values: [...counts].sort((one, other) => other[1] - one[1]).slice(0, 6) }))
    .filter(({ field, values }) => values[0][1] > 1 || values.some(([value]) => filter.includes(condition(field, value))))
    .slice(0, 5);
}

export function Facets({ answer, view, act }) {
  const facets = facetsOf(answer.hits, view.filter);
  if (!facets.length) return null;
  return html`
    <section class="facets" aria-label="Values among these hits, and how many documents have them">
      ${facets.map(({ field, values }) => html`
        <div role="group" aria-label=${field}>
          <span class="field">${field}</span>
          ${values.map(([value]) => {
            const clause = condition(field, value);
            const count = answer.facets?.[field]?.values.find((one) => one.value === value)?.documents;
            return html`
              <button type="button" class="chip" aria-pressed=${String(view.filter.includes(clause))}
                aria-label=${count === undefined ? shown(value) : `${shown(value)}, ${plural(count, "document")}`}
                onClick=${() => act.look({ filter: toggled(view.filter, clause) }, "now")}
                >${shown(value)} <small>${count === undefined ? "" : number(count)}</small></button>`;
          })}
        </div>`)}
    </section>`;
}

// Where the server asks for a key; `given` is called with it.
export function KeyBox({ problem, given }) {
  const submit = (event) => {
    event.preventDefault();
    given(event.target.elements.key.value.trim());
  };
  return html`
    <form class="key" onSubmit=${submit}>
      <p role="alert">${problem.message.split(":")[0]}.</p>
      <label for="key">Key</label>
      <input id="key" name="key" type="password" autocomplete="off" />
      <button type="submit" class="more">Use it</button>
      <p class="remark">It stays in this tab, and is never part of the address.</p>
    </form>`;
}
