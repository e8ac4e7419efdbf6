/* Two units side by side: of one run, or the same unit in two runs. */
"use strict";

(function () {
  const { html, number, visible, Text, useState, useEffect } = autointerp;
  const { facts, index, unit, contextOf, linkOf, useLoaded, Waiting } = autointerp.parts;
  const { Ruler, Histogram } = autointerp.charts;

  function parsed(text) {
    const found = /^(\d+):(.+)$/s.exec(text || "");
    return found ? { run: Number(found[1]), name: found[2] } : { run: 0, name: text || "" };
  }

  async function side(runs, { run, name }) {
    if (!name) return null;
    if (!runs[run]) throw new Error(`these pages hold no run number ${run}`);
    const [about, columns, found] = await Promise.all([facts(run), index(run), unit(run, name)]);
    if (!found.record) throw new Error(`${visible(name)} has no page in ${runs[run]}`);
    return { run, name, about, columns, ...found };
  }

  function Compare({ runs, query, setQuery }) {
    const a = parsed(query.a), b = parsed(query.b);
    const left = useLoaded(() => side(runs, a), [query.a || ""]), right = useLoaded(() => side(runs, b), [query.b || ""]);
    return html`<div><h1>Compare</h1>
      <p class="quiet">Two units, or one unit in two runs (open the pages of several runs at once to have them here).</p>
      <div class="two wide">${[["a", a, left, "first"], ["b", b, right, "second"]].map(([name, wanted, state, words]) => html`<section aria-label=${`${words} unit`}>
        <${Chooser} runs=${runs} wanted=${wanted} words=${words} onChosen=${(text) => setQuery({ ...query, [name]: text })} />
        ${state.value ? html`<${Side} of=${state.value} />` : wanted.name ? html`<${Waiting} state=${state} />` : html`<p class="quiet">Choose a unit.</p>`}</section>`)}</div>
      ${left.value && right.value && html`<${Shared} a=${left.value} b=${right.value} />`}</div>`;
  }

  function Chooser({ runs, wanted, words, onChosen }) {
    const [name, setName] = useState(wanted.name);
    useEffect(() => setName(wanted.name), [wanted.name]);
    const [run, setRun] = useState(wanted.run);
    return html`<form onSubmit=${(event) => { event.preventDefault(); onChosen(`${run}:${name}`); }}>
      <label>${words} unit <input value=${name} placeholder="feature/1234" onInput=${(event) => setName(event.target.value)} /></label>
      ${runs.length > 1 && html`<label> of <select value=${run} onChange=${(event) => setRun(Number(event.target.value))}>${runs.map((each, place) => html`<option value=${place}>${visible(each)}</option>`)}</select></label>`}
      ${" "}<button>show</button></form>`;
  }

  function Side({ of }) {
    const { record, shard, about, run, name } = of;
    const arm = about.arms.find((each) => each.arm === record.facts.arm) || { colour: "#777" };
    const own = autointerp.scoreOf(record, shard, about.cell.scorer, "own", about);
    const others = record.shuffled.map((row) => row[1]).filter((value) => value !== null);
    const contexts = record.contexts.map((row) => contextOf(shard, row));
    return html`<h2><a href=${linkOf(run, name)}>${visible(name)}</a> <span class="quiet">${visible(about.name)}</span></h2>
      <p class="explanation"><${Text} text=${record.explanation.text || record.explanation.reason} /></p>
      ${own && html`<p>Score ${own.value === null ? `none: ${own.reason}` : number(own.value)} (${about.cell.scorer}; ${about.cell.words})</p>
        <${Ruler} score=${own.value} chance=${own.chance} band=${arm.band} others=${others} marks=${[]} words=${`score ${own.value === null ? "none" : number(own.value)}; ${nullOf(own, record, shard, about)}`} />
        <p class="quiet">${nullOf(own, record, shard, about)}${arm.band ? ` Grey: 95% of all such ${arm.band.single ? "scores" : "means"} of the arm.` : ""}</p>`}
      ${record.histogram && html`<${Histogram} of=${record.histogram} arm=${arm} />`}
      <${autointerp.Group} title="Top, held out" note="" contexts=${contexts.filter((c) => c.split === "held-out" && c.kind === "top")} record=${record} whole=${false} />
      <${autointerp.Group} title="Top, evidence" note="" contexts=${contexts.filter((c) => c.split === "evidence" && c.kind === "top")} record=${record} whole=${false} predicted=${false} />`;
  }

  /* What other units' explanations score on this unit, in words. */
  function nullOf(own, record, shard, about) {
    const others = record.shuffled.map((row) => row[1]).filter((value) => value !== null);
    const mean = autointerp.scoreOf(record, shard, about.cell.scorer, "shuffled", about);
    const literal = autointerp.scoreOf(record, shard, "literal", "own", about);
    const literally = literal && literal.value !== null && about.cell.scorer !== "literal" ? ` Read literally, with no model: ${number(literal.value)}.` : "";
    if (!mean || mean.value === null) return `Its null is not known.${literally}`;
    const above = others.filter((value) => own.value !== null && value >= own.value).length;
    const p = others.length && own.value !== null ? `, ${above} of ${others.length} as high: p = ${number((above + 1) / (others.length + 1), 3)}` : "";
    return `Its null: other units' explanations score ${number(mean.value)} on average${p}.${literally}`;
  }

  /* What the two do on the contexts that both were read on: of the same run alone, since contexts are a run's. */
  function Shared({ a, b }) {
    const same = a.about.id === b.about.id && a.run === b.run;
    if (!same) return html`<p class="quiet">Contexts belong to a run, so units of two runs are held against each other by what is above.</p>`;
    const theirs = new Map(b.record.contexts.map((row) => [row[0], row]));
    const both = [...new Map(a.record.contexts.filter((row) => theirs.has(row[0])).map((row) => [row[0], row])).values()];
    if (!both.length) return html`<p class="quiet">No context was kept for both.</p>`;
    const x = [], y = [];
    for (const row of both) {
      x.push(...contextOf(a.shard, row).truth);
      y.push(...contextOf(b.shard, theirs.get(row[0])).truth);
    }
    const moved = [...y.slice(Math.floor(y.length / 2)), ...y.slice(0, Math.floor(y.length / 2))];
    const said = (value) => (value === null ? "unknown (one of them is silent there)" : number(value));
    return html`<p>On the ${both.length} contexts kept for both (${x.length} tokens) their activations correlate at ${said(pearson(x, y))}; with one of them moved to other contexts, at ${said(pearson(x, moved))}.</p>`;
  }

  function pearson(x, y) {
    const n = x.length, mean = (v) => v.reduce((p, q) => p + q, 0) / n;
    const mx = mean(x), my = mean(y);
    let xx = 0, yy = 0, xy = 0;
    for (let i = 0; i < n; i++) { xx += (x[i] - mx) ** 2; yy += (y[i] - my) ** 2; xy += (x[i] - mx) * (y[i] - my); }
    return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : null;
  }

  autointerp.Compare = Compare;
})();
