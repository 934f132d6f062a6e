// Two settings side by side: which hits both have, and how far each has moved.

import { identity } from "./text.js";

// How the hits of `other` stand to those of `one`, by identity, and the share of the first k that both have.
export function comparison(one, other, k) {
  const here = new Map(one.hits.slice(0, k).map((hit) => [identity(hit), hit.rank]));
  const there = other.hits.slice(0, k);
  const movements = new Map();
  let both = 0;
  for (const hit of there) {
    const before = here.get(identity(hit));
    if (before === undefined) {
      movements.set(identity(hit), { kind: "new", sign: "only here", said: "not in the other list" });
      continue;
    }
    both += 1;
    const by = before - hit.rank;
    movements.set(identity(hit), by === 0
      ? { kind: "same", sign: "=", said: "same rank in both lists" }
      : { kind: by > 0 ? "up" : "down", sign: `${by > 0 ? "↑" : "↓"}${Math.abs(by)}`,
          said: `${Math.abs(by)} ${by > 0 ? "up" : "down"} from rank ${before}` });
  }
  const most = Math.max(here.size, there.length);
  return { movements, both, most, overlap: most ? both / most : 1 };
}
