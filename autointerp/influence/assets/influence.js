/* The page of influences: per query the sequences at either end, each token in the colour of its part's sign. */
"use strict";

(function () {
  const { html, render, Shown, Text, short, number, percent, theme, setTheme, useState, visible } = autointerp;

  function Theme() {
    const [now, setNow] = useState(theme());
    const other = now === "dark" ? "light" : "dark";
    return html`<button type="button" onClick=${() => { setTheme(other); setNow(other); }}>${other} colours</button>`;
  }

  /* Blue raised what was asked about, orange lowered it; the strongest part of the query's shown sequences is full. */
  function Tokens({ row, most }) {
    const label = `place ${row.place}, influence ${short(row.influence)}`;
    return html`<div class="row"><span class="hidden">${label}: </span>${row.pieces.map((piece, place) => {
      const part = row.parts.length ? row.parts[place] : null;
      const level = part === null ? 0 : Math.abs(part) / most;
      const hue = part > 0 ? "true" : "predicted";
      const style = level > 0.02 ? { backgroundColor: `rgb(var(--${hue}) / ${(0.05 + 0.6 * level).toFixed(3)})` } : null;
      const said = part === null ? null : visible(`${piece}: ${short(part)}`);
      const shown = piece === "" && style ? html`<span class="unseen">${"\u2026"}</span>` : html`<${Shown} text=${piece} />`;
      return html`<span class="token" style=${style} title=${said}>${shown}</span>`;
    })}</div>`;
  }

  function Sequence({ row, most, fits }) {
    return html`<li class="context">
      <p class="facts"><b>${row.place > 0 ? `${row.place}.` : `${-row.place}. from the end`}</b>${" "}influence
        ${" "}<b>${short(row.influence)}</b>${fits && html` [${short(row.influence_low)}, ${short(row.influence_high)}]`},
        ${" "}${number(row.standardised, 1)} sd${row.null_p !== null && html`, p ${number(row.null_p, 2)}`}
        <span class="quiet">${" "}BM25 place ${row.bm25_place}, dot place ${row.dot_place}; context ${row.context} of
          ${" "}<${Text} text=${row.source} /></span></p>
      <${Tokens} row=${row} most=${most} /></li>`;
  }

  function Answer({ answer, fits }) {
    const most = Math.max(1e-300, ...answer.rows.flatMap((row) => row.parts.map(Math.abs)));
    const high = answer.rows.filter((row) => row.place > 0);
    const low = answer.rows.filter((row) => row.place < 0);
    const all = answer.sequences;
    return html`<section><h2><${Text} text=${answer.query} />: ${answer.measurement}</h2>
      <p>Half of all positive influence is in ${answer.half} of ${all} training sequences; the first ${high.length} have
        ${" "}${percent(answer.top_share)}.</p>
      <ul class="beside">${answer.beside.map((line) => html`<li>${line}</li>`)}</ul>
      <h3>Raised it most</h3>
      <ol class="sequences">${high.map((row) => html`<${Sequence} row=${row} most=${most} fits=${fits} />`)}</ol>
      <h3>Lowered it most</h3>
      <ol class="sequences">${low.map((row) => html`<${Sequence} row=${row} most=${most} fits=${fits} />`)}</ol>
    </section>`;
  }

  function Page({ data }) {
    return html`<main><p class="right"><${Theme} /></p><h1>Influence of training text</h1>
      <p>Of the run <${Text} text=${data.run} />: ${data.method}.</p>
      <p class="quiet">Colour: what each position gave to the influence, shown at the token that is predicted there;
        ${" "}<span class="token raised">blue raised</span> what was asked about,
        ${" "}<span class="token lowered">orange lowered</span> it. The numbers of a sequence sum to its influence.
        ${" "}${data.has_fits && "In brackets the range over two fits of the curvature. "}sd: standard deviations from
        the mean of all sequences. p: share of null queries (with this one) on which the sequence stands as far out.</p>
      ${data.answers.map((answer) => html`<${Answer} answer=${answer} fits=${data.has_fits} />`)}</main>`;
  }

  autointerp.load("influence", "data.js")
    .then((data) => render(html`<${Page} data=${data} />`, document.getElementById("page")))
    .catch((error) => render(html`<p class="bad">${error.message}</p>`, document.getElementById("page")));
})();
