// The answer of one side: what it took, remarks, and the hits with their highlights.

import { html } from "./html.js";
import { chance, identity, marked, nameOf, number, plural, sentence, shown } from "./text.js";

const COPIES = [["prompt", "prompt"], ["curl", "curl"], ["command", "CLI command"], ["citations", "citations"]];

export function Column({ side, view, answer, problem, busy, movements, act }) {
  if (problem) return html`<p class="problem" role="alert">${problem.message}</p>`;
  if (!answer) return null;
  // While the slider moves, what is there is cut at once; the server's answer follows.
  const hits = reaching(answer, view);
  return html`
    <div class=${busy ? "answer waiting" : "answer"}>
      <div class="line">
        <p>${summary(answer, view)}</p>
        <div class="copies" role="group" aria-label="Copy this search as">
          <span aria-hidden="true">Copy as</span>
          ${COPIES.filter(([kind]) => hits.length || kind !== "citations").map(
            ([kind, label]) => html`
              <button type="button" class="plain" data-copy=${kind} onClick=${() => act.copy(kind, side)}>${label}</button>`)}
        </div>
      </div>
      ${remarks(answer).map((remark) => html`<p class="remark">${remark}</p>`)}
      ${hits.length > 0 && html`
        <ol class="hits">
          ${hits.map((hit) => html`
            <${HitView} key=${identity(hit)} side=${side} hit=${hit} movement=${movements?.get(identity(hit))} act=${act} />`)}
        </ol>`}
      ${!hits.length && html`<${Nothing} side=${side} answer=${answer} view=${view} act=${act} />`}
      ${hits.length >= view.k && view.k < 1000 && html`
        <button type="button" class="more" onClick=${() => act.look({ k: Math.min(1000, view.k + 10) }, "now")}>More hits</button>`}
    </div>`;
}

const reaching = (answer, view) => answer.hits.filter((hit) => (hit.probability ?? 1) >= view.p);

// What an answer has and took, in a line.
export function summary(answer, view) {
  const hits = reaching(answer, view);
  const took = Object.values(answer.took_ms).reduce((sum, part) => sum + part, 0);
  const left = view.p > 0 && answer.left_out ? `, ${number(answer.left_out)} below ${chance(view.p)}` : "";
  return `${plural(hits.length, "hit")}${left} in ${took < 10 ? took.toFixed(1) : took.toFixed(0)} ms`;
}

function remarks(answer) {
  const found = [];
  if (answer.to_rerank !== undefined && answer.reranked < answer.to_rerank) {
    found.push(`Time was up: ${number(answer.reranked)} of ${plural(answer.to_rerank, "hit")} re-ranked.`);
  }
  if (answer.query_tokens_lost) {
    found.push(`The query is too long for the encoder: its last ${plural(answer.query_tokens_lost, "token")} were cut.`);
  }
  if (answer.coverage !== undefined) {
    found.push(`Only ${(answer.coverage * 100).toFixed(1)} % of the passages were searched: not all shards answered.`);
  }
  const narrowed = (answer.operators ?? []).filter((one) => one.left !== null);
  if (narrowed.length) {
    found.push(`Documents left by ${narrowed.map((one) => `${one.written}: ${number(one.left)}`).join(", by ")}.`);
  }
  return found;
}

function Nothing({ side, answer, view, act }) {
  const nearest = answer.nearest ?? answer.hits[0];
  return html`
    <div class="nothing">
      <p>${sentence(answer.message ?? `no hit reaches ${chance(view.p)}`)}</p>
      ${nearest && html`
        <h2>What came nearest</h2>
        <ol class="hits nearest"><${HitView} side=${side} hit=${nearest} act=${act} /></ol>`}
      ${view.p > 0 && html`
        <button type="button" class="more" onClick=${() => act.look({ p: 0 }, "now")}>Show any probability</button>`}
    </div>`;
}

function HitView({ side, hit, movement, act }) {
  const title = `${side}-${hit.rank}`;
  return html`
    <li class="hit" data-rank=${hit.rank} data-id=${hit.id}>
      <article aria-labelledby=${title}>
        <div class="head">
          <span class="rank" aria-hidden="true">${hit.rank}</span>
          <h2 id=${title}>
            <button type="button" class="title" aria-haspopup="dialog" onClick=${() => act.open(hit, side)}>${nameOf(hit)}</button>
          </h2>
          ${movement && html`<span class=${`moved ${movement.kind}`} title=${movement.said}
            ><span aria-hidden="true">${movement.sign}</span><span class="hidden">${movement.said}</span></span>`}
          ${hit.probability !== undefined && html`
            <span class="chance" title="Probability that the hit is relevant">
              <span class="gauge" aria-hidden="true"><i style=${{ width: `${hit.probability * 100}%` }}></i></span>
              <span class="hidden">probability </span>${chance(hit.probability)}
            </span>`}
        </div>
        <p class="snippet">${marked(hit.snippet.text, hit.snippet.highlights)}</p>
        <div class="foot">
          <${Facts} hit=${hit} />
          <button type="button" class="plain" data-copy="citation" aria-label=${`Cite ${nameOf(hit)}`}
            onClick=${() => act.copy("citation", side, hit)}>Cite</button>
        </div>
      </article>
    </li>`;
}

function Facts({ hit }) {
  const facts = Object.entries(hit.metadata).filter(([, value]) => value !== null);
  return html`
    <ul class="facts">
      ${hit.title && html`<li class="code">${hit.id}</li>`}
      ${hit.passage && hit.passage.count > 1 && html`<li>passage ${hit.passage.number + 1} of ${hit.passage.count}</li>`}
      ${facts.slice(0, 6).map(([field, value]) => html`<li><span class="field">${field}</span> ${shown(value)}</li>`)}
      ${hit.copies && html`<li>${plural(hit.copies.length, "copy").replace("copys", "copies")} merged</li>`}
    </ul>`;
}
