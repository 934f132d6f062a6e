// Why a hit is where it is, from both sides through fusion to the last re-ranker, and its whole document.

import { html } from "./html.js";
import { chance, marked, nameOf, placeOf, score, shown } from "./text.js";

// The stages that a hit went through, in order: [{name, rank, score, share}, …], `share` of the best score in [0, 1].
export function stagesOf(hit, hits) {
  const rows = [
    ["Words (BM25)", (one) => one.stages.sparse],
    ["Meaning (vectors)", (one) => one.stages.dense],
    ["Learned words", (one) => one.stages.learned ?? null],
  ];
  for (const [at, { by }] of (hit.history ?? []).entries()) {
    rows.push([at === 0 ? "Fusion" : by === "diversity" ? "Diversity" : `Re-ranker ${by}`, (one) => one.history?.[at] ?? null]);
  }
  if (!hit.history) rows.push(["Fusion", (one) => ({ rank: one.rank, score: one.score })]);
  return rows
    .map(([name, of]) => ({ name, found: of(hit), scores: hits.map((one) => of(one)?.score).filter(Number.isFinite) }))
    .filter(({ found, scores }) => found !== null || scores.length)
    .map(({ name, found, scores }) => {
      const least = Math.min(0, ...scores);
      const range = Math.max(...scores, found?.score ?? 0) - least;
      const value = found?.score ?? null;
      return { name, rank: found?.rank ?? null, score: value, share: range && value !== null ? (value - least) / range : 0 };
    });
}

export function Drawer({ open, hits, act }) {
  const { hit, document: whole, problem } = open;
  const stages = stagesOf(hit, hits);
  return html`
    <dialog class="drawer" aria-labelledby="drawer-title" ref=${shownModal} onClose=${act.close} onClick=${dismissed}>
      <div class="sheet">
        <header>
          <h2 id="drawer-title">${nameOf(hit)}</h2>
          <button type="button" class="icon" aria-label="Close" onClick=${(event) => event.target.closest("dialog").close()}>✕</button>
        </header>
        <section aria-labelledby="why">
          <h3 id="why">Why it is at rank ${hit.rank}</h3>
          <table class="stages">
            <thead><tr><th scope="col">Stage</th><th scope="col">Rank</th><th scope="col">Score</th></tr></thead>
            <tbody>
              ${stages.map((stage) => html`
                <tr class=${stage.rank === null ? "absent" : ""}>
                  <th scope="row">${named(stage.name)}
                    <span class="gauge" aria-hidden="true"><i style=${{ width: `${stage.share * 100}%` }}></i></span></th>
                  <td>${stage.rank === null ? "not found" : `#${stage.rank}`}</td>
                  <td>${stage.score === null ? "–" : score(stage.score)}</td>
                </tr>`)}
              ${hit.probability !== undefined && html`
                <tr class="last"><th scope="row">Probability of relevance
                    <span class="gauge" aria-hidden="true"><i style=${{ width: `${hit.probability * 100}%` }}></i></span></th>
                  <td></td><td>${chance(hit.probability)}</td></tr>`}
            </tbody>
          </table>
          <p class="terms">${hit.terms.length ? "Words of the query in it, as they are searched: " : "No word of the query is in it."}
            ${hit.terms.map((term) => html`<span class="chip">${term}</span> `)}</p>
          ${hit.expanded?.length > 0 && html`
            <p class="terms">Shared learned words: ${hit.expanded.map(({ term, score: by, expansion }) => html`
              <span class="chip" title=${expansion ? "given by the model" : "a word of both texts"}
                >${expansion ? "+ " : ""}${term} <small>${score(by)}</small></span> `)}</p>`}
        </section>
        ${Object.keys(hit.metadata).length > 0 && html`
          <section aria-labelledby="facts">
            <h3 id="facts">Metadata</h3>
            <dl>${Object.entries(hit.metadata).map(([field, value]) => html`
              <div><dt>${field}</dt><dd>${shown(value)}</dd></div>`)}</dl>
          </section>`}
        <section aria-labelledby="text">
          <h3 id="text">${whole ? "The document" : hit.passage && hit.passage.count > 1 ? "The passage" : "The text"}</h3>
          ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
          ${whole
            ? html`<p class="text" ref=${atMark}>${marked(whole.text, placeOf(hit, whole.text))}</p>`
            : html`<p class="text">${hit.text}</p>`}
          ${!whole && hit.passage && hit.passage.count > 1 && html`
            <button type="button" class="more" onClick=${act.read}>The whole document</button>`}
        </section>
        <footer>
          <span class="code">${hit.id}</span>
          <button type="button" class="plain" onClick=${() => act.copy("citation", open.side, hit)}>Copy citation</button>
        </footer>
      </div>
    </dialog>`;
}

const named = (name) => (name.startsWith("Re-ranker ") ? html`Re-ranker <small class="code">${name.slice(10)}</small>` : name);

export function Help({ act }) {
  const keys = [
    ["/", "to the query"], ["j, k", "next hit, previous hit"], ["Enter, e", "explain the hit"],
    ["c", "copy the hit's citation"], ["?", "this list"], ["Esc", "close"],
  ];
  return html`
    <dialog class="help" aria-labelledby="help-title" ref=${shownModal} onClose=${act.close} onClick=${dismissed}>
      <div class="sheet">
        <header>
          <h2 id="help-title">Keys</h2>
          <button type="button" class="icon" aria-label="Close" onClick=${(event) => event.target.closest("dialog").close()}>✕</button>
        </header>
        <dl>${keys.map(([key, does]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl>
        <h3>Queries and filters</h3>
        <p>In a query, <code>+word</code> is required, <code>-word</code> excluded, <code>"a phrase"</code> stands together.
          A filter such as <code>year >= 2015 and lang in ("en", "de")</code> narrows by metadata.</p>
      </div>
    </dialog>`;
}

// A stable function: preact calls a ref anew only where it is another one.
function shownModal(element) {
  if (element && !element.open) element.showModal();
}

function atMark(element) {
  element?.querySelector("mark")?.scrollIntoView({ block: "center" });
}

function dismissed(event) {
  if (event.target === event.currentTarget) event.currentTarget.close();
}
