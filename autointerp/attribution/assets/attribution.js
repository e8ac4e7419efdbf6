/* The attribution page: a passage's tokens, coloured by what they speak for the chosen one, or by what it speaks for. */
"use strict";

(function () {
  const { html, render, useState, useEffect, useRef, Shown, visible, number, percent, theme, setTheme } = autointerp;

  const LINES = { "\n": "\u21b5", "\r": "\u240d", "\t": "\u21e5" };
  const shownPiece = (piece) => (piece === "" ? "\u2026" : piece.replace(/[\n\r\t]/g, (end) => LINES[end]));
  const BEST = 12;

  /* Value of token `position` for output token `target`; null where the one does not depend on the other. */
  function valueOf(matrix, position, target) {
    const found = matrix[target][position];
    return found === undefined ? null : found;
  }

  /* What every token is coloured by: those before the chosen output token, and those after the chosen token. */
  function colours(passage, matrix, chosen) {
    const found = passage.pieces.map(() => null);
    const target = chosen - passage.prompt;
    if (target >= 0) matrix[target].forEach((value, position) => { found[position] = value; });
    matrix.forEach((row, later) => {
      if (passage.prompt + later > chosen) found[passage.prompt + later] = valueOf(matrix, chosen, later);
    });
    const before = Math.max(...found.slice(0, chosen).map((value) => Math.abs(value || 0)), 1e-12);
    const after = Math.max(...found.slice(chosen + 1).map((value) => Math.abs(value || 0)), 1e-12);
    return found.map((value, position) => (value === null ? null : { value, share: value / (position < chosen ? before : after) }));
  }

  function tint(colour) {
    if (!colour || !colour.share) return null;
    const hue = colour.share > 0 ? "true" : "predicted";
    return { backgroundColor: `rgb(var(--${hue}) / ${(0.05 + 0.5 * Math.abs(colour.share)).toFixed(3)})` };
  }

  function Tokens({ passage, matrix, pinned, chosen, onLook, onPin, unit }) {
    const found = colours(passage, matrix, chosen);
    const box = useRef(null);

    function move(event, position) {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const end = { Home: passage.fixed, End: passage.pieces.length - 1 }[event.key];
      if (by === undefined && end === undefined) return;
      const next = Math.min(Math.max(end === undefined ? position + by : end, passage.fixed), passage.pieces.length - 1);
      event.preventDefault();
      onPin(next);
      box.current.querySelector(`[data-place="${next}"]`).focus();
    }

    return html`<div class="passage" ref=${box} role="group" aria-label="prompt and output, token by token" onMouseLeave=${() => onLook(null)}>
      ${passage.pieces.map((piece, position) => {
        const colour = found[position];
        const part = position < passage.fixed ? "fixed" : position < passage.prompt ? "prompt" : "output";
        const said = colour ? `${visible(piece)}: ${number(colour.value, 3)} ${unit}` : visible(piece);
        const kind = `token ${part}${position === chosen ? " chosen" : ""}${position === pinned ? " pinned" : ""}`;
        return html`${position === passage.prompt ? html`<span class="arrow" aria-hidden="true">\u25b8</span>` : null}<button type="button"
          class=${kind} style=${tint(colour)} data-place=${position} title=${said} disabled=${part === "fixed"}
          tabindex=${position === pinned ? 0 : -1} aria-pressed=${position === pinned ? "true" : "false"}
          aria-label=${`${part} ${shownPiece(piece).trim() || "space"}${colour ? `, ${number(colour.value, 3)}` : ""}`}
          onMouseEnter=${() => part !== "fixed" && onLook(position)} onClick=${() => onPin(position)}
          onKeyDown=${(event) => move(event, position)}><${Shown} text=${shownPiece(piece)} flat=${true} /></button>${
          piece.includes("\n") ? html`<br />` : html`<wbr />`}`;
      })}
    </div>`;
  }

  function Ranked({ passage, rows, title, unit }) {
    const most = Math.max(...rows.map((row) => Math.abs(row.value)), 1e-12);
    return html`<section><h3>${title}</h3><table><tbody>${rows.map((row) => html`<tr>
      <td><span class="piece"><${Shown} text=${shownPiece(row.piece)} flat=${true} /></span>${row.note && html`${" "}<span class="quiet">${row.note}</span>`}</td>
      <td class="number">${number(row.value, 3)}</td>
      <td class="bar"><span class=${row.value < 0 ? "against" : "for"} style=${{ width: `${Math.round(88 * Math.abs(row.value) / most)}px` }}></span></td>
    </tr>`)}</tbody></table>${rows.length === 0 && html`<p class="quiet">none</p>`}${unit}</section>`;
  }

  function ranked(passage, pairs) {
    return pairs.filter(([, value]) => value).sort((one, other) => Math.abs(other[1]) - Math.abs(one[1])).slice(0, BEST)
      .map(([position, value]) => ({ piece: passage.pieces[position], value, note: `token ${position}` }));
  }

  function Latents({ data, passage, target }) {
    if (!passage.latents) return null;
    const rows = passage.latents[target].map(([position, latent, value]) => ({
      piece: passage.pieces[position], value,
      note: `latent ${latent} at token ${position}${data.explanations[latent] ? `: ${data.explanations[latent]}` : ""}`,
    }));
    const title = `Latents of ${data.sae.name} at ${data.sae.hook} that speak for it, or against it`;
    return html`<${Ranked} passage=${passage} rows=${rows} title=${title}
      unit=${complete(passage.complete.latents, target, `The SAE's error takes ${percent(passage.errorShare[target])} of all sizes. `)} />`;
  }

  /* Whether the values add up to what they should: where they do not, they are not what the method means. */
  function complete(known, target, before = "") {
    if (!known) return null;
    const [change, delta] = [known.change[target], known.delta[target]];
    const off = Math.abs(delta) > 0.1 * Math.max(Math.abs(change), 1);
    return html`<p class=${off ? "bad" : "quiet"}>${before}Adds up to ${number(change + delta, 3)} nats, should to ${number(change, 3)}${
      off ? ": no convergence, give more --steps" : ""}.</p>`;
  }

  function Chosen({ data, passage, method, chosen }) {
    const matrix = passage.matrices[method];
    const target = chosen - passage.prompt;
    const later = matrix.map((row, at) => [passage.prompt + at, valueOf(matrix, chosen, at)])
      .filter(([position, value]) => position > chosen && value !== null);
    const name = shownPiece(passage.pieces[chosen]);
    return html`<div class="chosen" aria-live="polite">
      <h2>Token ${chosen}: <span class="piece"><${Shown} text=${name} flat=${true} /></span>${
        target >= 0 && html` <span class="quiet">written with probability ${percent(Math.exp(passage.said[target]))}</span>`}</h2>
      <div class="beside">
        ${target >= 0 && html`<${Ranked} passage=${passage} rows=${ranked(passage, matrix[target].map((value, at) => [at, value]))}
          title="What speaks for it, or against it" unit=${complete(passage.complete[method], target)} />`}
        ${target >= 0 && html`<${Latents} data=${data} passage=${passage} target=${target} />`}
        ${later.length > 0 && html`<${Ranked} passage=${passage} rows=${ranked(passage, later)} title="What it speaks for, or against" unit=${null} />`}
      </div></div>`;
  }

  function Table({ label, head, rows }) {
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table><thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<tr>${row.map((cell, at) => (at ? html`<td class="number">${cell}</td>` : html`<th scope="row">${cell}</th>`))}</tr>`)}</tbody></table></div>`;
  }

  function Trust({ data }) {
    if (data.trust.length === 0) return html`<p class="bad">Its faithfulness was not measured.</p>`;
    return html`<${Table} label="faithfulness" head=${data.trustHead} rows=${data.trust} /><p class="quiet">${data.trustNote}</p>
      <${Table} label="better than recency" head=${data.better[0]} rows=${data.better[1]} /><p class="quiet">${data.betterNote}</p>`;
  }

  function Page({ data }) {
    const [place, setPlace] = useState(0);
    const [method, setMethod] = useState(data.methods[0].name);
    const [pinned, setPinned] = useState(data.passages[0].prompt);
    const [looked, setLooked] = useState(null);
    const [colour, setColour] = useState(theme());
    const passage = data.passages[place];
    const other = colour === "dark" ? "light" : "dark";
    const label = data.methods.find((each) => each.name === method).label;
    useEffect(() => { setPinned(data.passages[place].prompt); setLooked(null); }, [place]);
    return html`<main><header><h1>Which tokens made it write this?</h1>
        <button type="button" onClick=${() => { setTheme(other); setColour(other); }}>${other} colours</button></header>
      <p>Model ${data.model}. Blue speaks for the chosen token, orange against it. Point at a token, or choose one by click or arrow keys:
        what is coloured before it speaks for it; what is coloured after it, it speaks for.</p>
      <p class="choices"><label>Method ${" "}<select value=${method} onChange=${(event) => setMethod(event.target.value)}>
          ${data.methods.map((each) => html`<option value=${each.name} selected=${each.name === method}>${each.name}</option>`)}</select></label>
        ${data.passages.length > 1 && html`<label>Prompt ${" "}<select value=${place} onChange=${(event) => setPlace(Number(event.target.value))}>
          ${data.passages.map((each, at) => html`<option value=${at}>${at}: ${visible(each.pieces.slice(each.fixed).join("")).slice(0, 60)}</option>`)}</select></label>`}
        ${label && html`<span class="quiet">${label}</span>`}</p>
      <${Tokens} passage=${passage} matrix=${passage.matrices[method]} pinned=${Math.min(pinned, passage.pieces.length - 1)}
        chosen=${Math.min(looked === null ? pinned : looked, passage.pieces.length - 1)} onLook=${setLooked} onPin=${setPinned} unit=${"nats"} />
      <${Chosen} data=${data} passage=${passage} method=${method} chosen=${Math.min(looked === null ? pinned : looked, passage.pieces.length - 1)} />
      <h2>Is it faithful?</h2><${Trust} data=${data} /></main>`;
  }

  autointerp.load("attribution", "data.js").then(
    (data) => render(html`<${Page} data=${data} />`, document.getElementById("page")),
    (error) => render(html`<main><h1>Attribution</h1><p class="bad">${error.message}</p></main>`, document.getElementById("page")),
  );
})();
