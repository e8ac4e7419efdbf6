/* The list of all units: sorted, filtered and searched in the page; only the rows in view are drawn. */
"use strict";

(function () {
  const { html, number, percent, visible, useState, useMemo, useRef, useEffect } = autointerp;
  const { linkOf } = autointerp.parts;
  const HIGH = 36;
  const COLUMNS = [
    { name: "unit", words: "unit" }, { name: "score", words: "score", number: true },
    { name: "shuffled", words: "null: others' text", number: true }, { name: "literal", words: "literally", number: true },
    { name: "density", words: "density", number: true }, { name: "entropy", words: "peak entropy", number: true },
    { name: "single", words: "single token", number: true }, { name: "status", words: "status" }, { name: "text", words: "explanation" },
  ];
  const CODED = ["arm", "sae", "hook", "subject", "status", "kind"];
  const RANGES = [["score", "score"], ["density", "density"], ["entropy", "peak entropy (bits)"], ["single", "single-token share"]];
  const WORDS = { arm: "arm", sae: "SAE", hook: "layer", subject: "subject", status: "status", kind: "kind of explanation" };

  const hays = new WeakMap();
  function hayOf(columns) {
    if (!hays.has(columns)) {
      hays.set(columns, columns.units.map((unit, at) => `${unit}\n${columns.text[at] || ""}\n${columns.tokens[at] || ""}`.toLowerCase()));
    }
    return hays.get(columns);
  }

  /* Places of the units that pass, in the wanted order. */
  function chosen(columns, query) {
    const words = (query.q || "").toLowerCase();
    const hay = words ? hayOf(columns) : null;
    const codes = CODED.filter((name) => query[name] !== undefined).map((name) => [columns[name], columns[`${name}_names`].indexOf(query[name])]);
    const ranges = RANGES.flatMap(([name]) => {
      const low = parseFloat(query[`${name}-from`]), high = parseFloat(query[`${name}-to`]);
      return Number.isNaN(low) && Number.isNaN(high) ? [] : [[columns[name], Number.isNaN(low) ? -Infinity : low, Number.isNaN(high) ? Infinity : high]];
    });
    const found = [];
    next: for (let at = 0; at < columns.count; at++) {
      for (const [column, code] of codes) if (column[at] !== code) continue next;
      for (const [column, low, high] of ranges) {
        const value = column[at];
        if (value === null || value === undefined || value < low || value > high) continue next;
      }
      if (hay && !hay[at].includes(words)) continue;
      found.push(at);
    }
    return ordered(columns, found, query.sort || "", query.down !== "0");
  }

  function ordered(columns, found, sort, down) {
    if (!COLUMNS.some((column) => column.name === sort)) return found;
    if (sort === "unit" || sort === "text" || sort === "status") {
      const texts = sort === "unit" ? null : sort === "text" ? columns.text : columns.status.map((code) => columns.status_names[code]);
      const key = (at) => (texts ? texts[at] || "" : columns.arm_names[columns.arm[at]]);
      const flip = down ? -1 : 1;
      return found.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x !== y) return (x < y ? -1 : 1) * flip;
        return sort === "unit" ? (columns.index[a] - columns.index[b]) * flip || a - b : a - b;
      });
    }
    const column = columns[sort], keys = new Float64Array(columns.count);
    for (const at of found) { const v = column[at]; keys[at] = v === null || v === undefined ? Infinity : down ? -v : v; }
    return found.sort((a, b) => (keys[a] === keys[b] ? a - b : keys[a] - keys[b]));
  }

  function List({ run, columns, query, setQuery, onOrder }) {
    const places = useMemo(() => chosen(columns, query), [columns, JSON.stringify(query)]);
    useEffect(() => onOrder(places.map((at) => columns.units[at])), [places]);
    return html`<div>
      <h1>Units</h1>
      <${Filters} columns=${columns} query=${query} setQuery=${setQuery} />
      <p role="status">${places.length.toLocaleString("en")} of ${columns.count.toLocaleString("en")} units</p>
      <${Rows} run=${run} columns=${columns} places=${places} query=${query} setQuery=${setQuery} />
    </div>`;
  }

  function Filters({ columns, query, setQuery }) {
    const set = (name, value) => setQuery({ ...query, [name]: value === "" ? undefined : value });
    return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>text of explanation or token, or unit <input id="search" type="search" value=${query.q || ""} onInput=${(event) => set("q", event.target.value)} /></label>
      ${CODED.filter((name) => columns[`${name}_names`].length > 1).map((name) => html`<label>${WORDS[name]} <select value=${query[name] ?? ""} onChange=${(event) => set(name, event.target.value)}>
        <option value="">any</option>${columns[`${name}_names`].filter(Boolean).map((each) => html`<option value=${each}>${visible(each)}</option>`)}</select></label>`)}
      <details open=${RANGES.some(([name]) => query[`${name}-from`] || query[`${name}-to`])}><summary>ranges</summary>${RANGES.map(([name, words]) => html`<fieldset><legend>${words}</legend>
        <input type="number" step="any" aria-label=${`${words}, from`} placeholder="from" value=${query[`${name}-from`] || ""} onInput=${(event) => set(`${name}-from`, event.target.value)} />
        <input type="number" step="any" aria-label=${`${words}, to`} placeholder="to" value=${query[`${name}-to`] || ""} onInput=${(event) => set(`${name}-to`, event.target.value)} /></fieldset>`)}</details>
      <button type="button" onClick=${() => setQuery({})}>clear</button>
    </form>`;
  }

  function Rows({ run, columns, places, query, setQuery }) {
    const box = useRef(null);
    const [top, setTop] = useState(0);
    const [tall, setTall] = useState(600);
    useEffect(() => { if (box.current) setTall(box.current.clientHeight); }, []);
    useEffect(() => { if (box.current) box.current.scrollTop = 0; setTop(0); }, [places]);
    const first = Math.max(0, Math.floor(top / HIGH) - 4), last = Math.min(places.length, first + Math.ceil(tall / HIGH) + 8);
    const sortBy = (name) => {
      if ((query.sort || "") !== name) return setQuery({ ...query, sort: name, down: name === "unit" || name === "text" ? "0" : undefined });
      return setQuery({ ...query, down: query.down === "0" ? undefined : "0" });
    };
    const order = (name) => ((query.sort || "") !== name ? "none" : query.down === "0" ? "ascending" : "descending");
    return html`<div class="list" role="table" aria-label="units" aria-rowcount=${places.length + 1}>
      <div role="rowgroup"><div role="row" class="line head">${COLUMNS.map((column) => html`<div role="columnheader" aria-sort=${order(column.name)} class=${`cell ${column.name}`}>
        <button onClick=${() => sortBy(column.name)}>${column.words}${order(column.name) === "none" ? "" : query.down === "0" ? " ↑" : " ↓"}</button></div>`)}</div></div>
      <div class="body" role="rowgroup" tabindex="0" ref=${box} onScroll=${(event) => setTop(event.target.scrollTop)}>
        <div style=${{ height: `${first * HIGH}px` }} role="presentation"></div>
        ${places.slice(first, last).map((at, place) => html`<${Line} key=${at} run=${run} columns=${columns} at=${at} number_=${first + place} />`)}
        <div style=${{ height: `${Math.max(0, places.length - last) * HIGH}px` }} role="presentation"></div>
      </div></div>`;
  }

  function Line({ run, columns, at, number_ }) {
    const unit = columns.units[at], has = columns.page[at] !== null && columns.page[at] !== undefined;
    const reason = columns.reason_names[columns.reason[at]];
    const shown = (value) => (value === null || value === undefined ? "" : number(value));
    const rank = columns.rank[at] ? `rank ${columns.rank[at]} of ${columns.of[at]}` : "";
    return html`<div role="row" class="line" aria-rowindex=${number_ + 2}>
      <div role="cell" class="cell unit">${has ? html`<a href=${linkOf(run, unit)}>${visible(unit)}</a>` : visible(unit)}</div>
      <div role="cell" class="cell score" title=${rank}>${shown(columns.score[at])}</div>
      <div role="cell" class="cell shuffled">${shown(columns.shuffled[at])}</div>
      <div role="cell" class="cell literal">${shown(columns.literal[at])}</div>
      <div role="cell" class="cell density">${columns.density[at] === null || columns.density[at] === undefined ? "" : percent(columns.density[at])}</div>
      <div role="cell" class="cell entropy">${shown(columns.entropy[at])}</div>
      <div role="cell" class="cell single">${shown(columns.single[at])}</div>
      <div role="cell" class="cell status" title=${visible(reason)}>${columns.status_names[columns.status[at]]}</div>
      <div role="cell" class="cell text" title=${visible(columns.text[at] || reason)}><bdi>${visible(columns.text[at] || reason)}</bdi></div>
    </div>`;
  }

  autointerp.List = List;
  autointerp.chosen = chosen;
})();
