// The page: one state, one function that shows it, and what a person can do to it.

import { render } from "./vendor/preact.mjs";
import * as api from "./api.js";
import { comparison } from "./compare.js";
import { Facets, FilterBox, KeyBox, LeastChance, QueryBox, Settings, condition, toggled } from "./controls.js";
import { citation, command, curl, prompt, put } from "./copy.js";
import { Drawer, Help } from "./drawer.js";
import { Column, summary } from "./hits.js";
import { html } from "./html.js";
import { addressOf, viewOf } from "./state.js";
import { plural } from "./text.js";

const PAUSE = 100; // ms without a key before the query is asked
const TYPED = 60; // ms without a key before queries are suggested
const COUNTED = 12; // fields whose values are counted
const THEMES = ["", "light", "dark"];

const state = {
  view: viewOf(location.search),
  indexes: null,
  records: Object.create(null), // by name, "__proto__" too
  sides: { a: {}, b: {} },
  problem: null,
  open: null,
  help: false,
  said: null,
  suggested: [],
  at: -1, // the suggestion that is chosen, -1 for none
  theme: localStorage.getItem("leanseek.theme") ?? "",
};
const root = document.getElementById("page");
let timer = 0;
let typed = { timer: 0, aborter: null };
let committed = location.search; // the last address that has an entry of its own in the history

const show = (patch = {}) => {
  Object.assign(state, patch);
  document.title = state.view.q ? `${state.view.q} – leanseek` : "leanseek";
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
  render(html`<${Page} ...${state} />`, root);
};

const sidesOf = (view) => (view.compare ? ["a", "b"] : ["a"]);

// Ask for what the view needs and has not got; what an older view asked for is dropped.
function seek() {
  clearTimeout(timer);
  for (const side of ["a", "b"]) {
    const settings = state.view[side];
    const present = state.sides[side];
    const wanted = sidesOf(state.view).includes(side) && state.view.q.trim() && settings.index;
    const request = wanted ? JSON.stringify([settings.index, api.bodyOf(state.view, settings)]) : "";
    if (request === present.request) continue;
    present.aborter?.abort();
    if (!wanted) {
      state.sides[side] = {};
      continue;
    }
    const aborter = new AbortController();
    const next = { ...present, request, aborter, busy: true };
    state.sides[side] = next;
    const { view } = state;
    describe(settings.index).then(() => api.search(view, settings, fieldsOf(settings.index), aborter.signal)).then(
      (answer) => ({ answer, problem: null }),
      (problem) => {
        if (problem.param !== "filter") delete described[settings.index]; // its fields may be others by now
        return { answer: problem.param === "filter" ? present.answer : null, problem };
      },
    ).then((found) => {
      if (state.sides[side] !== next) return;
      Object.assign(next, found, { busy: false, request: found.problem ? undefined : request });
      show({ problem: found.problem?.status === 401 ? found.problem : state.problem });
    });
  }
  show();
}

const described = Object.create(null); // by name: when the record is there

function describe(name) {
  if (!name) return Promise.resolve();
  return (described[name] ??= api.describe(name).then(
    (record) => {
      state.records[name] = record;
      show();
    },
    () => {
      delete described[name]; // the search says what is wrong
    },
  ));
}

const fieldsOf = (name) => Object.keys(state.records[name]?.fields ?? {}).slice(0, COUNTED);

// Open the server's indexes; where a key is needed, ask for it.
async function start() {
  try {
    const { indexes } = await api.indexes();
    show({ indexes, problem: null });
    settle();
  } catch (problem) {
    show({ problem });
  }
}

// An address without an index, or without the second one, means the first there is.
function settle() {
  const first = state.indexes?.[0]?.name ?? "";
  const { view } = state;
  view.a.index ||= first;
  view.b.index ||= view.a.index;
  describe(view.a.index);
  seek();
}

const act = {
  // Change the view. "typing" waits for a pause and keeps one entry in the history.
  look(patch, when) {
    state.view = { ...state.view, ...patch };
    const address = addressOf(state.view) || location.pathname;
    if (when === "typing") {
      history.replaceState(null, "", address);
      clearTimeout(timer);
      timer = setTimeout(seek, PAUSE);
      show();
    } else {
      if (address !== committed) history.pushState(null, "", address);
      committed = address;
      describe(state.view.a.index);
      seek();
    }
  },
  // Suggest queries for what has been typed; "" takes those away that are there.
  suggest(text) {
    clearTimeout(typed.timer);
    typed.aborter?.abort();
    const { index } = state.view.a;
    if (!text.trim() || !state.records[index]?.suggestions) {
      if (state.suggested.length) show({ suggested: [], at: -1 });
      return;
    }
    const aborter = new AbortController();
    const timer = setTimeout(() => api.suggest(index, text, aborter.signal).then(
      ({ suggestions }) => {
        if (!aborter.signal.aborted) show({ suggested: suggestions, at: -1 });
      },
      () => {}, // the search says what is wrong
    ), TYPED);
    typed = { timer, aborter };
  },
  point(at) {
    show({ at });
  },
  pick({ text }) {
    act.suggest("");
    act.look({ q: text }, "now");
  },
  compare() {
    const { view } = state;
    const compare = !view.compare;
    const other = state.records[view.a.index]?.sides.find((side) => side !== view.a.mode) ?? "";
    act.look({ compare, b: { ...view.a, mode: other } }, "now");
  },
  open(hit, side) {
    show({ open: { hit, side }, help: false });
  },
  async read() {
    const { open } = state;
    try {
      const document = await api.wholeDocument(state.view[open.side].index, open.hit.id);
      if (state.open === open) show({ open: { ...open, document } });
    } catch (problem) {
      if (state.open === open) show({ open: { ...open, problem } });
    }
  },
  close() {
    show({ open: null, help: false });
  },
  async copy(kind, side, hit) {
    const { view } = state;
    const settings = view[side];
    const { answer } = state.sides[side];
    let text;
    try {
      if (kind === "prompt") text = await prompt(view, settings);
      else if (kind === "curl") text = curl(view, settings);
      else if (kind === "command") text = command(view, settings);
      else text = (hit ? [hit] : answer.hits).map((one) => citation(one, settings.index)).join("\n\n");
    } catch (problem) {
      say(problem.message);
      return;
    }
    const what = { command: "CLI command", citations: "Citations", citation: "Citation", prompt: "Prompt", curl: "curl" }[kind];
    const note = kind === "command" ? ` Put the index's folder in place of ${settings.index}.index.` : "";
    if (await put(text)) say(`${what} copied.${note}`);
    else say(`The browser does not let the page copy. Here it is:${note}`, text);
  },
  theme() {
    const theme = THEMES[(THEMES.indexOf(state.theme) + 1) % THEMES.length];
    localStorage.setItem("leanseek.theme", theme);
    show({ theme });
  },
};

function say(message, text) {
  const said = { message, text };
  show({ said });
  if (!text) setTimeout(() => state.said === said && show({ said: null }), 5000);
}

function Page({ view, indexes, records, sides, problem, open, help, said, theme, suggested, at }) {
  const record = records[view.a.index];
  const filterProblem = sidesOf(view).map((side) => sides[side].problem).find((one) => one?.param === "filter");
  const chances = sidesOf(view).some((side) => records[view[side].index]?.relevance) || view.p > 0;
  const busy = sides.a.busy || sides.b.busy;
  return html`
    <header class="top">
      <h1><a href=${location.pathname}><img src="static/icon.svg" alt="" width="26" height="26" />leanseek</a></h1>
      <nav aria-label="Page">
        <button type="button" class="plain" aria-pressed=${String(view.compare)} onClick=${act.compare}>Compare</button>
        <button type="button" class="plain" onClick=${act.theme}>Theme: ${theme || "system"}</button>
        <button type="button" class="plain" aria-haspopup="dialog" onClick=${() => show({ help: true })}>Keys</button>
      </nav>
    </header>
    <main class=${view.compare ? "wide" : ""}>
      ${problem?.status === 401 ? html`<${KeyBox} problem=${problem} given=${(key) => { api.keep(key); start(); }} />` : problem ? html`
        <p class="problem" role="alert">${problem.message}</p>
        <button type="button" class="more" onClick=${start}>Try again</button>` : null}
      ${indexes && html`
        <${QueryBox} ...${{ view, busy, suggested, at, act }} />
        <div class="narrow">
          <${FilterBox} view=${view} record=${record} problem=${filterProblem} act=${act} />
          ${chances && html`<${LeastChance} view=${view} act=${act} />`}
        </div>
        ${!view.compare && html`<${Settings} side="a" view=${view} indexes=${indexes} record=${record} act=${act} />`}
        ${!indexes.length && html`<p class="empty">This server has no index that you may search.</p>`}
        ${sides.a.answer && !view.compare && html`<${Facets} answer=${sides.a.answer} view=${view} act=${act} />`}
        ${view.compare ? html`<${Beside} ...${{ view, indexes, records, sides }} />`
          : html`<${Answered} side="a" view=${view} sides=${sides} />`}
        ${!view.q.trim() && record && html`<${Welcome} record=${record} view=${view} />`}`}
    </main>
    ${open && html`<${Drawer} open=${open} hits=${sides[open.side].answer?.hits ?? [open.hit]} act=${act} />`}
    ${help && html`<${Help} act=${act} />`}
    <p class="hidden" role="status">${sidesOf(view).map((side) => sides[side]).filter((one) => one.answer && !one.busy)
      .map((one) => summary(one.answer, view)).join(", beside them ")}</p>
    <div class="said" role="status">
      ${said && html`<div class="toast">${said.message}
        ${said.text && html`
          <textarea readonly aria-label="Text to copy" rows="6" ref=${selected}>${said.text}</textarea>
          <button type="button" class="plain" onClick=${() => show({ said: null })}>Close</button>`}</div>`}
    </div>`;
}

function Answered({ side, view, sides, movements }) {
  const { answer, problem, busy } = sides[side];
  const shown = problem?.param === "filter" && answer ? null : problem;
  if (problem?.param === "filter" && !answer) return null; // it is said at the filter
  return html`<${Column} side=${side} view=${view} answer=${answer} problem=${shown} busy=${busy || problem}
    movements=${movements} act=${act} />`;
}

function Beside({ view, indexes, records, sides }) {
  const ready = sides.a.answer && sides.b.answer;
  const forth = ready && comparison(sides.a.answer, sides.b.answer, view.k);
  const back = ready && comparison(sides.b.answer, sides.a.answer, view.k);
  const settings = (side) => html`
    <${Settings} side=${side} view=${view} indexes=${indexes} record=${records[view[side].index]} act=${act} />`;
  return html`
    <p class="overlap" role="status">${ready && html`
      ${forth.both} of ${forth.most} in both lists: <strong>overlap@${view.k} ${forth.overlap.toFixed(2)}</strong>`}</p>
    <div class="beside">
      <section aria-label="First settings">${settings("a")}
        <${Answered} side="a" view=${view} sides=${sides} movements=${back?.movements} /></section>
      <section class="second" aria-label="Second settings">${settings("b")}
        <${Answered} side="b" view=${view} sides=${sides} movements=${forth?.movements} /></section>
    </div>`;
}

function Welcome({ record, view }) {
  const fields = Object.entries(record.fields);
  const size = record.passages === record.documents ? "" : ` in ${plural(record.passages, "passage")}`;
  return html`
    <section class="welcome" aria-label="The index">
      <p><strong>${record.name}</strong> has ${plural(record.documents, "document")}${size}.</p>
      ${fields.length > 0 && html`
        <p>Fields to filter by, each with a value that there is:</p>
        <ul>${fields.slice(0, 12).map(([field, examples]) => Object.values(examples).slice(0, 1).map((value) => {
          const clause = condition(field, value);
          return html`<li><button type="button" class="chip code" aria-pressed=${String(view.filter.includes(clause))}
            onClick=${() => act.look({ filter: toggled(view.filter, clause) }, "now")}>${clause}</button></li>`;
        }))}</ul>`}
    </section>`;
}

function selected(element) {
  element?.select();
}

// The hit that has the focus, or that the pointer has opened last.
function focused() {
  const item = document.activeElement?.closest(".hit");
  if (!item) return null;
  const side = item.closest(".second") ? "b" : "a";
  const { answer } = state.sides[side];
  const found = [...(answer?.hits ?? []), answer?.nearest].find((hit) => hit && String(hit.rank) === item.dataset.rank);
  return found ? { hit: found, side } : null;
}

function step(by) {
  const titles = [...document.querySelectorAll(".hit .title")];
  const at = titles.findIndex((title) => title.closest(".hit").contains(document.activeElement));
  titles[Math.min(titles.length - 1, Math.max(0, at + by))]?.focus();
}

const KEYS = {
  "/": () => document.getElementById("q")?.select(),
  "?": () => show({ help: true }),
  j: () => step(1),
  k: () => step(-1),
  e: () => { const found = focused(); if (found) act.open(found.hit, found.side); },
  c: () => { const found = focused(); if (found) act.copy("citation", found.side, found.hit); },
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=range], [type=checkbox], [type=radio]), textarea, select");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || state.open || state.help) return;
  if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

addEventListener("popstate", () => {
  state.view = viewOf(location.search);
  committed = location.search;
  show({ open: null });
  settle();
});

show();
start();
