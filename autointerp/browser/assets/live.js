/* What a served page can ask: how a typed explanation scores, what a unit does on a text, what a judge says.
   `Live` takes `unit` (its id), and may take `run` (with `id`: another run's units are not asked about) and
   `explanation` (the run's own, to begin from). Everybody who has a page of the server open sees every answer. */
"use strict";

(function () {
  const { html, number, short, visible, Text, Row, useState, useEffect, save, token } = autointerp;

  /* ---- the server ---- */
  const store = { state: null, lost: "", listeners: new Set() };
  const changed = () => store.listeners.forEach((listener) => listener());
  const headers = () => ({ "X-Autointerp-Token": token });
  let connected = false;

  function take(event) {
    if (event.event === "state") store.state = event.state;
    else if (store.state) {
      const jobs = store.state.jobs.filter((job) => job.number !== event.job.number);
      store.state = { ...store.state, jobs: [...jobs, event.job].sort((a, b) => a.number - b.number),
        suggested: event.suggested || store.state.suggested };
    }
    changed();
  }

  async function follow() {
    const answer = await fetch("api/events", { headers: headers(), cache: "no-store" });
    if (!answer.ok) throw new Error(await reasonOf(answer));
    store.lost = "";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the server has ended");
      text += value;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        const said = text.slice(0, end);
        if (said.startsWith("data: ")) take(JSON.parse(said.slice(6)));
      }
    }
  }

  async function connect() {
    if (connected) return;
    connected = true;
    for (let wait = 500; ; wait = Math.min(2 * wait, 10000)) {
      try {
        await follow();
      } catch (error) {
        if (!store.lost) wait = 500;
        store.lost = error instanceof TypeError ? "the server does not answer" : error.message;
        changed();
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async function reasonOf(answer) {
    try {
      return (await answer.json()).reason || `status ${answer.status}`;
    } catch (error) {
      return `status ${answer.status}`;
    }
  }

  /* Ask; the answer comes with the events. Gives back why the question was not taken, or "". */
  async function ask(kind, question) {
    try {
      const answer = await fetch(`api/${kind}`, {
        method: "POST", headers: { ...headers(), "Content-Type": "application/json" }, body: JSON.stringify(question),
      });
      return answer.ok ? "" : await reasonOf(answer);
    } catch (error) {
      return "the server does not answer: is it still running?";
    }
  }

  async function keep(name) {
    const answer = await fetch(`api/${name}`, { headers: headers() });
    if (answer.ok) save(name, await answer.text(), name.endsWith(".csv") ? "text/csv" : "application/json");
  }

  function useStore() {
    const [, again] = useState(0);
    useEffect(() => {
      const listener = () => again((count) => count + 1);
      store.listeners.add(listener);
      connect();
      return () => store.listeners.delete(listener);
    }, []);
    return store;
  }

  /* ---- words ---- */
  const SLICES = { "top-and-random": "top and random contexts", "random-only": "random contexts alone",
    unlisted: "tokens that the explanation does not name" };
  const sliceWords = (name) => SLICES[name] || `contexts of ${name.replace(/-/g, " ")}`;
  const armOf = (unit, texts) => Object.keys(texts).filter((arm) => unit.startsWith(`${arm}/`))
    .sort((a, b) => b.length - a.length)[0];

  function scored(value, reason) {
    return value === null || value === undefined ? html`<span class="quiet">${visible(reason || "not known")}</span>` : number(value);
  }

  function Spent({ job }) {
    const spent = job.result.spent;
    const asked = !spent ? "" : spent.requests === 0 ? "No request to a language model"
      : `${spent.requests} ${spent.requests === 1 ? "request" : "requests"}, ${spent.cached} answered by the ledger`;
    const paid = spent && spent.tokens ? `; ${spent.tokens.toLocaleString("en")} tokens${spent.usd ? `, $${spent.usd.toFixed(4)}` : ""} of the run's budget` : "";
    return html`<p class="quiet">${asked}${paid}${asked && ". "}Answered in ${job.seconds < 0.05 ? "less than 0.1" : job.seconds.toFixed(1)} s.</p>`;
  }

  /* ---- answers ---- */
  function Wide({ label, children }) {
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table style=${{ overflowWrap: "normal" }}>${children}</table></div>`;
  }

  function Line({ name, value, reason, strong }) {
    return html`<tr><th scope="row" style=${strong ? null : { fontWeight: 400 }}>${name}</th>
      <td class="number" style=${strong ? { fontWeight: 600 } : null}>${scored(value, reason)}</td></tr>`;
  }

  function Scores({ result, headline, simulator }) {
    const cell = result.scores.find((each) => each.metric === headline.metric && each.slice === headline.slice);
    const { arm } = result;
    const literal = simulator === "literal";
    return html`<${Wide} label="the typed explanation beside the run's own">
      <thead><tr><th scope="col">${headline.metric}, ${sliceWords(headline.slice)} (${cell.n_contexts})</th><th scope="col" class="number">score</th></tr></thead>
      <tbody><${Line} strong name="what you typed" value=${cell.value} reason=${cell.value_reason} />
      <${Line} strong name="the run's own explanation" value=${cell.run} reason=${cell.run_reason} />
      ${!literal && html`<${Line} name="what you typed, its words only matched" value=${cell.literal} reason=${cell.literal_reason} />
      <${Line} name="the run's own, its words only matched" value=${cell.run_literal} reason=${cell.run_literal_reason} />`}
      <${Line} name="other units' explanations, on this unit (mean)" value=${cell.shuffled} reason=${cell.shuffled_reason} />
      <${Line} name=${`other units' explanations, ${arm.arm} (mean of ${arm.n_shuffled} units)`} value=${arm.shuffled} />
      <${Line} name=${`own explanations, ${arm.arm} (mean of ${arm.n_own} units)`} value=${arm.own} />
      <${Line} name="chance" value=${cell.chance} /></tbody><//>
      ${result.scores.length > 1 && html`<details><summary>Every metric and slice</summary><${Wide} label="every metric and slice">
        <thead><tr><th scope="col">metric</th><th scope="col">on</th><th scope="col" class="number">typed</th><th scope="col" class="number">run's own</th><th scope="col" class="number">others'</th><th scope="col" class="number">only matched</th></tr></thead>
        <tbody>${result.scores.map((each) => html`<tr><td>${each.metric}</td><td>${sliceWords(each.slice)}</td>
          <td class="number">${scored(each.value, each.value_reason)}</td><td class="number">${scored(each.run, each.run_reason)}</td>
          <td class="number">${scored(each.shuffled, each.shuffled_reason)}</td><td class="number">${scored(each.literal, each.literal_reason)}</td></tr>`)}</tbody><//></details>`}`;
  }

  const most = (rows) => Math.max(0, ...rows.filter(Boolean).map((row) => Math.max(...row)));
  const over = (row, top) => row && row.map((value) => (top > 0 ? value / top : 0));

  function Predictions({ contexts }) {
    const [all, setAll] = useState(false);
    const tops = ["truth", "predicted", "run_predicted"].map((name) => most(contexts.map((each) => each[name])));
    const shown = all ? contexts : contexts.slice(0, 4);
    return html`<h4 style=${{ margin: ".8em 0 .2em" }}>On the contexts that were scored</h4>
      <p class="quiet">Each row's colour is relative to the strongest of its kind; point at a token for the numbers.</p>
      ${shown.map((each) => {
        const told = (place) => `true ${short(each.truth[place])}, predicted from yours ${each.predicted ? short(each.predicted[place]) : "unknown"}, from the run's ${each.run_predicted ? short(each.run_predicted[place]) : "unknown"}`;
        const rows = [["true", each.truth, tops[0], "true"], ["yours", each.predicted, tops[1], "predicted"], ["run's", each.run_predicted, tops[2], "predicted"]];
        return html`<div class="context" key=${each.context}>${rows.map(([name, values, top, hue]) => values && html`<div style=${{ display: "flex", gap: ".6em" }}>
          <span class="quiet" aria-hidden="true" style=${{ flex: "0 0 3em", fontSize: ".8rem" }}>${name}</span>
          <div style=${{ minWidth: 0 }}><${Row} pieces=${each.pieces} levels=${over(values, top)} hue=${hue} label=${name} told=${told} flat=${true} /></div></div>`)}</div>`;
      })}
      ${contexts.length > 4 && html`<button type="button" aria-expanded=${all} onClick=${() => setAll(!all)}>${all ? "Fewer" : `All ${contexts.length} contexts`}</button>`}`;
  }

  function Explained({ job, state }) {
    const { result } = job;
    return html`<p><${Text} text=${job.text} /></p>
      ${result.reason && html`<p class="bad">The simulator could not predict: ${visible(result.reason)}.</p>`}
      <${Scores} result=${result} headline=${state.headline} simulator=${result.simulator} />
      <${Spent} job=${job} />
      ${!result.reason && html`<${Predictions} contexts=${result.contexts} />`}`;
  }

  function Read({ job }) {
    const { pieces, activations, peak } = job.result;
    const top = Math.max(...activations);
    const at = activations.indexOf(top);
    const active = activations.filter((value) => value > 0).length;
    return html`<p>${top > 0 ? html`Active on ${active} of ${pieces.length} tokens, most on <b><${Text} text=${pieces[at]} /></b>: ${short(top)}, ${number(top / peak)} of its peak in the evidence (${short(peak)}).`
      : `Silent on all ${pieces.length} tokens.`}</p>
      <div class="context"><${Row} pieces=${pieces} levels=${over(activations, Math.max(top, peak))} label="activations" told=${(place) => `${short(activations[place])}`} /></div>
      <${Spent} job=${job} />`;
  }

  function Judged({ job, state }) {
    const { result } = job;
    const inRun = state.judges.some((each) => each.judge === job.judge && each.in_run);
    return html`${job.text !== null && html`<p><${Text} text=${job.text} /></p>`}
      ${result.reason && html`<p class="bad">Not judged: ${visible(result.reason)}.</p>`}
      <${Wide} label=${`scores by judge ${job.judge}`}><thead><tr><th scope="col">score</th><th scope="col" class="number">now</th>${inRun && html`<th scope="col" class="number">in the run</th><th scope="col" class="number">others' in the run</th>`}<th scope="col" class="number">chance</th></tr></thead>
      <tbody>${result.scores.map((each) => html`<tr><th scope="row">${each.metric.replace(/_/g, " ")}</th><td class="number">${scored(each.value, each.value_reason)}</td>
        ${inRun && html`<td class="number">${scored(each.run, each.run_reason)}</td><td class="number">${scored(each.shuffled, each.shuffled_reason)}</td>`}<td class="number">${number(each.chance)}</td></tr>`)}</tbody><//>
      <${Spent} job=${job} />
      ${result.items.length > 0 && html`<details><summary>Every verdict (${result.items.length})</summary><${Wide} label="every verdict">
        <thead><tr><th scope="col" class="number">P(yes)</th><th scope="col">right answer</th><th scope="col">on</th></tr></thead>
        <tbody>${result.items.map((item) => html`<tr><td class="number">${scored(item.probability, item.probability_reason)}</td>
          <td>${item.truth ? "yes" : "no"}</td><td style=${{ overflowWrap: "anywhere", minWidth: "14em" }}>${item.pieces.length ? html`<${Row} pieces=${item.pieces} label="context" flat=${true} />` : html`<${Text} text=${item.token} />`}</td></tr>`)}</tbody><//></details>`}`;
  }

  const TITLES = { explanation: () => "An explanation", text: () => "A text",
    judge: (job) => `Judge ${job.judge}, on ${job.text === null ? "the run's own explanation" : "a typed explanation"}` };

  function Job({ job, state }) {
    const title = TITLES[job.kind](job);
    if (job.state === "failed") {
      return html`<article><h3>${title}</h3>${job.text !== null && html`<p><${Text} text=${job.text.slice(0, 300)} /></p>`}
        <p class="bad" role="alert">No answer. ${visible(job.reason)}.</p></article>`;
    }
    if (job.state !== "done") {
      return html`<article><h3>${title}</h3><p role="status">${job.state === "queued" ? "Waiting for its turn."
        : job.of ? `Asking: ${job.done} of ${job.of}.` : job.done ? `Asking: ${job.done} so far.` : "Working."}</p>
        ${job.state === "running" && html`<progress aria-label=${title} max=${job.of || undefined} value=${job.of ? job.done : undefined} />`}</article>`;
    }
    const Answer = { explanation: Explained, text: Read, judge: Judged }[job.kind];
    return html`<article><h3>${title}</h3><${Answer} job=${job} state=${state} /></article>`;
  }

  /* ---- questions ---- */
  function Question({ id, label, hint, value, onValue, onAsk, button, most: longest, why, busy, children }) {
    const submit = (event) => {
      event.preventDefault();
      if (value.trim() && !why && !busy) onAsk();
    };
    return html`<form onSubmit=${submit} style=${{ margin: ".9em 0" }}>
      <label for=${id} style=${{ fontWeight: 600 }}>${label}</label>
      <p class="quiet" id=${`${id}-hint`} style=${{ margin: ".1em 0 .3em" }}>${why ? html`<span class="bad">Not here: ${visible(why)}.</span>` : hint}</p>
      <textarea id=${id} rows="2" maxlength=${longest} disabled=${Boolean(why)} aria-describedby=${`${id}-hint`} style=${{ width: "100%", display: "block" }} value=${value}
        onInput=${(event) => onValue(event.target.value)} onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event)}></textarea>
      <div style=${{ display: "flex", flexWrap: "wrap", gap: ".5em", marginTop: ".4em" }}><button disabled=${Boolean(why) || busy || !value.trim()}>${button}</button>${children}</div></form>`;
  }

  function Judge({ state, unit, typed, busy, onAsk }) {
    const usable = state.judges.filter((each) => !each.why_not);
    const [judge, setJudge] = useState(usable.length ? usable[0].judge : "");
    const [which, setWhich] = useState("own");
    if (!usable.length) return html`<p class="quiet">No judge can be asked here${state.judges.length ? `: ${visible(state.judges[0].why_not)}` : ""}.</p>`;
    const needs = usable.find((each) => each.judge === judge).needs_explanation;
    const text = needs && which === "typed" ? typed.trim() : null;
    const submit = (event) => {
      event.preventDefault();
      onAsk({ unit, text, judge });
    };
    return html`<form onSubmit=${submit} style=${{ margin: ".9em 0" }}><label for="live-judge" style=${{ fontWeight: 600 }}>Ask a judge</label>
      <p class="quiet" style=${{ margin: ".1em 0 .3em" }}>Does it tell the unit's held-out contexts apart by the explanation? Judges of the run itself come first.</p>
      <div style=${{ display: "flex", flexWrap: "wrap", gap: ".5em", alignItems: "center" }}>
        <select id="live-judge" value=${judge} onChange=${(event) => setJudge(event.target.value)}>${usable.map((each) => html`<option value=${each.judge}>${each.judge}${each.in_run ? "" : " (not in the run)"}</option>`)}</select>
        ${needs && html`<select aria-label="explanation to judge" value=${which} onChange=${(event) => setWhich(event.target.value)}><option value="own">the run's explanation</option><option value="typed">what you typed above</option></select>`}
        <button disabled=${busy || (needs && which === "typed" && !typed.trim())}>Ask</button></div></form>`;
  }

  function Tried({ state, unit }) {
    const { metric, slice, scorer } = state.headline;
    const here = (row) => row.metric === metric && row.slice === slice && row.scorer === scorer;
    const rows = state.suggested.filter((row) => row.unit === unit && here(row));
    const all = state.suggested.filter(here).length;
    if (!state.suggested.length) return null;
    return html`<h3>Tried so far</h3>
      ${rows.length > 0 && html`<${Wide} label="explanations that were tried"><thead><tr><th scope="col">explanation</th><th scope="col" class="number">score</th><th scope="col" class="number">run's own</th><th scope="col" class="number">null</th><th scope="col">when (UTC)</th></tr></thead>
      <tbody>${[...rows].sort((a, b) => (b.value === null ? -2 : b.value) - (a.value === null ? -2 : a.value)).map((row) => html`<tr><td style=${{ overflowWrap: "anywhere", minWidth: "10em" }}><${Text} text=${row.text} /></td><td class="number">${scored(row.value, row.reason)}</td>
        <td class="number">${scored(row.run_value)}</td><td class="number" title="other units' explanations, on average">${scored(row.run_shuffled)}</td><td>${row.asked.slice(0, 16).replace("T", " ")}</td></tr>`)}</tbody><//>`}
      <p class="quiet">${rows.length} of this unit, ${all} in all; kept beside the run's scores, never among them.</p>
      <p><button type="button" onClick=${() => keep("suggested.csv")}>Save all as CSV</button> <button type="button" onClick=${() => keep("suggested.json")}>Save all as JSON</button></p>`;
  }

  function Live({ unit, run, explanation }) {
    const { state, lost } = useStore();
    const [typed, setTyped] = useState("");
    const [text, setText] = useState("");
    const [refused, setRefused] = useState("");
    if (!token) return null;
    if (!state) {
      return html`<section aria-labelledby="live"><h2 id="live">Ask the run</h2><p role="status" class=${lost ? "bad" : "quiet"}>${lost ? `No answers now: ${visible(lost)}. Trying again.` : "Looking for the server."}</p></section>`;
    }
    if (run && run.id && run.id !== state.run) return html`<section><p class="quiet">The server answers for the first run of this page alone.</p></section>`;
    const jobs = state.jobs.filter((job) => job.unit === unit);
    const elsewhere = state.jobs.filter((job) => job.unit !== unit && (job.state === "running" || job.state === "queued"));
    const asking = async (kind, question) => setRefused(await ask(kind, question));
    const arm = armOf(unit, state.texts);
    const { simulator } = state;
    return html`<section aria-labelledby="live"><h2 id="live">Ask the run</h2>
      ${lost && html`<p class="bad" role="alert">No answers now: ${visible(lost)}. Trying again.</p>`}
      <${Question} id="live-explanation" label="Try another explanation" button="Score it" value=${typed} onValue=${setTyped} most=${state.limit} busy=${Boolean(lost)} why=${simulator.why_not}
        hint=${`Scored by the run's simulator (${simulator.name}) on the run's held-out contexts of this unit${simulator.asks ? "; paid for by the run's budget" : ""}.${state.recorded ? "" : " What the run computed is not in this folder: a model in this process, in half precision, gives predictions that differ from the run's by about a hundredth of their peak."}`}
        onAsk=${() => asking("explanation", { unit, text: typed.trim() })}>
        ${explanation && !simulator.why_not && html`<button type="button" onClick=${() => setTyped(explanation)}>Begin from the run's own</button>`}<//>
      <${Question} id="live-text" label="Try a text" button="Show its activations" value=${text} onValue=${setText} most=${20000} busy=${Boolean(lost)} why=${state.texts[arm]}
        hint="What the unit does on each token of it, read as in the run." onAsk=${() => asking("text", { unit, text })} />
      <${Judge} state=${state} unit=${unit} typed=${typed} busy=${Boolean(lost)} onAsk=${(question) => asking("judge", question)} />
      ${refused && html`<p class="bad" role="alert">Not asked: ${visible(refused)}.</p>`}
      ${elsewhere.length > 0 && html`<p role="status" class="quiet">The server is busy with ${elsewhere.length === 1 ? "a question" : `${elsewhere.length} questions`} about ${visible(elsewhere[0].unit)}.</p>`}
      ${[...jobs].reverse().map((job) => html`<${Job} key=${job.number} job=${job} state=${state} />`)}
      <${Tried} state=${state} unit=${unit} /></section>`;
  }

  autointerp.Live = Live;
})();
