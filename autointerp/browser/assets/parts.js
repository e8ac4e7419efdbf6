/* What the browser's pages share: data of runs, packed levels, links, contexts. */
"use strict";

(function () {
  const { html, load, Row, Text, visible, number, short, percent, useState } = autointerp;

  /* ---- data of a run: its number among the runs of these pages ---- */
  const facts = (run) => load(`run-${run}`, `data/${run}/run.js`);
  const index = (run) => load(`index-${run}`, `data/${run}/index.js`).then(prepared);

  const ready = new WeakMap();
  function prepared(columns) {
    if (!ready.has(columns)) {
      const place = new Map();
      columns.units.forEach((unit, at) => place.set(unit, at));
      ready.set(columns, Object.assign(columns, { place }));
    }
    return columns;
  }

  async function unit(run, name) {
    const columns = await index(run);
    const at = columns.place.get(name);
    const page = at === undefined ? undefined : columns.page[at];
    if (page === undefined || page === null) return { at, record: null, shard: null };
    const number = Math.floor(page / columns.per_shard);
    const shard = await load(`shard-${run}-${number}`, `data/${run}/shards/${String(number).padStart(4, "0")}.js`);
    return { at, record: shard.units[name], shard };
  }

  /* ---- packing ---- */
  function bytes(text) {
    const raw = atob(text);
    const found = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
    return found;
  }

  function levels(packed, length) {
    if (packed === null) return null;
    const found = new Float32Array(length);
    if (typeof packed === "string") bytes(packed).forEach((level, i) => { found[i] = level / 255; });
    else for (let i = 0; i < packed.length; i += 2) found[packed[i]] = packed[i + 1] / 255;
    return found;
  }

  function pieces(shard, context) {
    const places = shard.contexts[context][0];
    const found = typeof places === "string" ? new Uint16Array(bytes(places).buffer) : places;
    return Array.from(found, (place) => shard.texts[place]);
  }

  function contextOf(shard, row) {
    const [id, split, kind, weight, truth, guess, literal] = row;
    const shown = pieces(shard, id);
    return { id, split, kind, weight, literal, pieces: shown, truth: levels(truth, shown.length),
      guess: levels(guess, shown.length), source: shard.texts[shard.contexts[id][1]], document: shard.contexts[id][2] };
  }

  /* ---- links ---- */
  const pathOf = (name) => name.split("/").map(encodeURIComponent).join("/");
  const linkOf = (run, name) => run === 0 ? `#/u/${pathOf(name)}` : `#/run/${run}/u/${pathOf(name)}`;
  const within = (run, rest) => run === 0 ? `#/${rest}` : `#/run/${run}/${rest}`;

  function UnitLink({ run, columns, name, shown = name }) {
    const at = columns.place.get(name);
    const has = at !== undefined && columns.page[at] !== undefined && columns.page[at] !== null;
    return has ? html`<a href=${linkOf(run, name)} title=${visible(name)}>${visible(shown)}</a>` : html`<span title="not drawn: no page">${visible(shown)}</span>`;
  }

  /* ---- a context: tokens with true and, below, predicted activations ---- */
  const BEFORE = 14, AFTER = 10, HEAD = 26;

  function cutOf(context, whole) {
    const length = context.pieces.length;
    if (whole) return [0, length];
    const decides = context.truth.some((level) => level > 0) ? context.truth : context.guess;
    let peak = -1;
    if (decides) for (let i = 0; i < length; i++) if (decides[i] > 0 && (peak < 0 || decides[i] > decides[peak])) peak = i;
    if (peak < 0) return [0, Math.min(length, HEAD)];
    return [Math.max(0, peak - BEFORE), Math.min(length, peak + AFTER)];
  }

  function Context({ context, record, whole, predicted = true }) {
    const [from, to] = cutOf(context, whole);
    const [place, setPlace] = useState(null);
    const part = (values) => values && Array.from(values).slice(from, to);
    const ends = (row) => [...(from > 0 ? ["\u2026"] : []), ...row, ...(to < context.pieces.length ? ["\u2026"] : [])];
    const offset = from > 0 ? 1 : 0;
    const shown = ends(context.pieces.slice(from, to));
    const spread = (values) => values && [...(offset ? [0] : []), ...part(values), ...(to < context.pieces.length ? [0] : [])];
    const literal = context.literal.filter((at) => at >= from && at < to).map((at) => at - from + offset);
    const told = (at) => {
      const token = at - offset + from;
      if (at < offset || token >= to) return null;
      const guess = context.guess && record.predicted_top ? `, predicted ${short(context.guess[token] * record.predicted_top)}` : "";
      return `${JSON.stringify(context.pieces[token])}: true ${short(context.truth[token] * record.top)}${guess}`
        + (context.literal.includes(token) ? "; the explanation names it" : "");
    };
    const both = predicted && context.guess;
    return html`<div class="context" onMouseLeave=${() => setPlace(null)}>
      <${Row} pieces=${shown} levels=${spread(context.truth)} label="true" told=${told} onTold=${setPlace} literal=${literal} flat=${!whole} />
      ${both && html`<${Row} pieces=${shown} levels=${spread(context.guess)} hue="predicted" label="predicted" told=${told} onTold=${setPlace} literal=${literal} flat=${!whole} />`}
      <div class="told quiet">${place === null || !told(place) ? html`<span>context ${context.id}, ${visible(context.source)}${
        context.kind.startsWith("top") ? "" : ` (${context.kind})`}</span>` : visible(told(place))}</div>
    </div>`;
  }

  /* ---- small things ---- */
  function Interval({ of }) {
    if (!of) return html`<span class="quiet">not measured</span>`;
    const ends = of.low === null || of.low === undefined ? "" : ` [${number(of.low)}, ${number(of.high)}]`;
    return html`<span class="number">${number(of.mean)}${ends}</span>`;
  }

  function useLoaded(promise, keys) {
    const [state, setState] = autointerp.useState({ keys: null });
    autointerp.useEffect(() => {
      let wanted = true;
      promise().then((value) => wanted && setState({ keys: String(keys), value }),
        (error) => wanted && setState({ keys: String(keys), error }));
      return () => { wanted = false; };
    }, keys);
    return state.keys === String(keys) ? state : {};
  }

  function Waiting({ state }) {
    if (state.error) return html`<p class="bad" role="alert">${state.error.message}</p>`;
    return html`<p class="quiet" role="status">loading</p>`;
  }

  autointerp.parts = { facts, index, unit, contextOf, linkOf, pathOf, within, UnitLink, Context, Interval, useLoaded, Waiting, percent, Text };
})();
