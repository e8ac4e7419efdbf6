/* The frame: addresses after #, the keyboard, which page is shown. */
"use strict";

(function () {
  const { html, render, visible, useState, useEffect, useRef, setTheme, theme } = autointerp;
  const { facts, index, linkOf, within, useLoaded, Waiting } = autointerp.parts;

  /* #/PAGE?QUERY, #/u/UNIT, and under #/run/N/ the same of another run. */
  function parsed(hash) {
    const [path, search] = (hash.replace(/^#\/?/, "") || "").split("?");
    let parts = path.split("/");
    let run = 0;
    if (parts[0] === "run") { run = /^\d+$/.test(parts[1] || "") ? Number(parts[1]) : NaN; parts = parts.slice(2); }
    const query = Object.fromEntries(new URLSearchParams(search || ""));
    try {
      if (parts[0] === "u") return { run, page: "unit", name: parts.slice(1).map(decodeURIComponent).join("/"), query };
    } catch (error) {
      return { run, page: "unit", name: parts.slice(1).join("/"), query };
    }
    return { run, page: parts[0] || "overview", query };
  }

  const searchOf = (query) => {
    const kept = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
    return kept.length ? `?${new URLSearchParams(kept)}` : "";
  };

  const KEYS = [["/", "search the list"], ["n", "next unit"], ["p", "previous unit"], ["r", "a random unit"], ["o", "overview"], ["l", "list of units"], ["f", "failures"], ["w", "whole contexts"], ["t", "dark or light"], ["?", "these keys"]];

  function App({ runs }) {
    const [place, setPlace] = useState(parsed(location.hash));
    const [whole, setWhole] = useState(false);
    const [help, setHelp] = useState(false);
    const [, setDark] = useState(theme());
    const [moved, setMoved] = useState(0);
    const order = useRef([]);
    const main = useRef(null);
    const searching = useRef(false);
    useEffect(() => {
      const listen = () => { setPlace(parsed(location.hash)); };
      addEventListener("hashchange", listen);
      return () => removeEventListener("hashchange", listen);
    }, []);
    const known = runs[place.run] !== undefined;
    const run = known ? place.run : 0;
    const state = useLoaded(() => Promise.all([facts(run), index(run)]), [run]);
    const [about, columns] = state.value || [];
    useEffect(() => {
      document.title = `${place.page === "unit" ? place.name : place.page} · ${runs[run]}`;
      const box = searching.current && document.getElementById("search");
      searching.current = false;
      if (box) box.focus();
      else if (moved && main.current) { main.current.focus(); scrollTo(0, 0); }
      setMoved(moved + 1);
    }, [place.page, place.name, run]);
    const near = columns && place.page === "unit" ? besides(columns, order.current, place.name) : {};
    const dark = () => { setTheme(theme() === "dark" ? "light" : "dark"); setDark(theme()); };
    const go = (hash) => { location.hash = hash; };
    const acts = useRef(null);
    acts.current = {
      "/": () => {
        if (place.page === "list") return document.getElementById("search").focus();
        searching.current = true;
        return go(within(run, "list"));
      },
      n: () => near.after && go(linkOf(run, near.after)), p: () => near.before && go(linkOf(run, near.before)),
      j: () => near.after && go(linkOf(run, near.after)), k: () => near.before && go(linkOf(run, near.before)),
      r: () => columns && go(linkOf(run, lucky(columns))), o: () => go(within(run, "")), l: () => go(within(run, "list")), f: () => go(within(run, "failures")),
      w: () => setWhole(!whole), t: dark, "?": () => setHelp(!help), Escape: () => setHelp(false),
    };
    useEffect(() => {
      const press = (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
          if (event.key === "Escape") event.target.blur();
          return;
        }
        if (Object.hasOwn(acts.current, event.key)) { event.preventDefault(); acts.current[event.key](); }
      };
      addEventListener("keydown", press);
      return () => removeEventListener("keydown", press);
    }, []);
    const here = (page) => (place.page === page ? "page" : undefined);
    return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>to the content</a>
      <header class="top"><nav aria-label="pages">
        <a href=${within(run, "")} aria-current=${here("overview")}>Overview</a> <a href=${within(run, "list")} aria-current=${here("list")}>Units</a>
        ${" "}<a href="#/compare" aria-current=${here("compare")}>Compare</a> <a href=${within(run, "failures")} aria-current=${here("failures")}>Failures</a>
        ${" "}${columns && html`<button onClick=${() => { location.hash = linkOf(run, lucky(columns)); }}>random unit</button>`}</nav>
        <div><span class="quiet name">${visible(runs[run])}</span>${runs.length > 1 && html` <label>run <select value=${run} onChange=${(event) => { location.hash = within(Number(event.target.value), ""); }}>${runs.map((each, at) => html`<option value=${at}>${visible(each)}</option>`)}</select></label>`}
        ${" "}<button onClick=${dark} aria-label="dark or light">◐</button> <button onClick=${() => setHelp(!help)} aria-expanded=${help} aria-label="keys">?</button></div></header>
      ${help && html`<aside class="keys" aria-label="keys"><dl>${KEYS.map(([key, words]) => html`<dt><kbd>${key}</kbd></dt><dd>${words}</dd>`)}</dl></aside>`}
      <main id="main" tabindex="-1" ref=${main}>${!known ? html`<h1>No such run</h1><p role="alert">These pages hold no run of this number: <a href="#/">${visible(runs[0])}</a>. Make them of several runs to compare: autointerp browse RUN OTHER.</p>` : !columns ? html`<h1>${visible(runs[run])}</h1><${Waiting} state=${state} />`
        : html`<${Page} key=${run} place=${place} run=${run} runs=${runs} about=${about} columns=${columns} near=${near} whole=${whole} setWhole=${setWhole} order=${order} />`}</main>`;
  }

  function Page({ place, run, runs, about, columns, near, whole, setWhole, order }) {
    const { page, name, query } = place;
    const setQuery = (kept) => history.replaceState(null, "", `${location.pathname}${location.search}${page === "compare" ? "#/compare" : within(run, "list")}${searchOf(kept)}`) || dispatchEvent(new HashChangeEvent("hashchange"));
    if (page === "list") return html`<${autointerp.List} run=${run} columns=${columns} query=${query} setQuery=${setQuery} onOrder=${(units) => { order.current = units; }} />`;
    if (page === "unit") return html`<${autointerp.Unit} run=${run} facts=${about} columns=${columns} name=${name} near=${near} whole=${whole} setWhole=${setWhole} />`;
    if (page === "compare") return html`<${autointerp.Compare} runs=${runs} query=${query} setQuery=${setQuery} />`;
    if (page === "failures") return html`<${autointerp.Failures} run=${run} facts=${about} columns=${columns} />`;
    if (page === "overview") return html`<${autointerp.Overview} run=${run} facts=${about} columns=${columns} />`;
    return html`<h1>No such page</h1><p>There is no page "${visible(page)}": <a href=${within(run, "")}>overview</a>.</p>`;
  }

  const paged = (columns, at) => columns.page[at] !== null && columns.page[at] !== undefined;

  /* The units before and after one, in the order of the list as it was last seen, of those with a page. */
  function besides(columns, order, name) {
    const listed = order.includes(name) ? order : columns.units;
    const units = listed.filter((unit) => paged(columns, columns.place.get(unit)));
    const at = units.indexOf(name);
    return at < 0 ? {} : { before: units[at - 1], after: units[at + 1] };
  }

  function lucky(columns) {
    const units = columns.units.filter((unit, at) => paged(columns, at));
    return units[Math.floor(Math.random() * units.length)];
  }

  render(html`<${App} runs=${autointerp.arrived.get("runs") || []} />`, document.getElementById("page"));
})();
