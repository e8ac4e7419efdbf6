/* A unit's page: its explanation, its score beside what nothing would score, and the contexts that stand behind it. */
"use strict";

(function () {
  const { html, number, short, percent, visible, Text, useState } = autointerp;
  const { unit, contextOf, linkOf, UnitLink, Context, useLoaded, Waiting } = autointerp.parts;
  const { Ruler, Histogram } = autointerp.charts;

  function Unit({ run, facts, columns, name, near, whole, setWhole }) {
    const state = useLoaded(() => unit(run, name), [run, name]);
    if (!state.value) return html`<div><h1>${visible(name)}</h1><${Waiting} state=${state} /></div>`;
    const { at, record, shard } = state.value;
    if (at === undefined) return html`<div><h1>${visible(name)}</h1><p class="bad" role="alert">This run has no such unit.</p></div>`;
    if (!record) return html`<${NotDrawn} name=${name} columns=${columns} at=${at} />`;
    const arm = facts.arms.find((each) => each.arm === record.facts.arm) || { colour: "#777", words: record.facts.arm };
    const contexts = record.contexts.map((row) => contextOf(shard, row));
    return html`<article aria-labelledby="unit">
      <header class="unit"><h1 id="unit">${visible(name)}</h1><span class="quiet">${arm.words}</span>
        <nav aria-label="units">${near.before && html`<a rel="prev" href=${linkOf(run, near.before)}>← previous</a>`} ${near.after && html`<a rel="next" href=${linkOf(run, near.after)}>next →</a>`}
        ${" "}<a href=${`#/compare?a=${encodeURIComponent(`${run}:${name}`)}`}>compare</a></nav></header>
      <${Explained} record=${record} facts=${facts} />
      <div class="columns"><div class="main">
        <${Scored} facts=${facts} arm=${arm} columns=${columns} at=${at} record=${record} shard=${shard} run=${run} />
        ${autointerp.token && autointerp.Live && html`<details open><summary>Ask the run: an explanation, a text, a judge</summary><${autointerp.Live} unit=${name} run=${facts} explanation=${record.explanation.text} key=${name} /></details>`}
        <${Contexts} record=${record} contexts=${contexts} whole=${whole} setWhole=${setWhole} />
        <${Candidates} record=${record} name=${name} />
        <${Judged} record=${record} />
        <${Numbers} record=${record} shard=${shard} />
      </div><aside aria-label="about the unit">
        <h2>When it is active</h2>
        <p>On ${percent(record.facts.density)} of the evidence tokens; peak ${short(record.facts.max_activation)}; ${percent(record.facts.single_token)} of its top contexts peak on one token.</p>
        ${record.histogram ? html`<${Histogram} of=${record.histogram} arm=${arm} />` : html`<p class="quiet">No histogram: ${facts.near || "not of units of scrambled subjects"}.</p>`}
        <${Effects} record=${record} facts=${facts} />
        ${html`<${autointerp.Beside} run=${run} facts=${facts} columns=${columns} record=${record} />`}
        <${Provenance} record=${record} facts=${facts} />
      </aside></div></article>`;
  }

  function NotDrawn({ name, columns, at }) {
    const reason = columns.reason_names[columns.reason[at]];
    return html`<div><h1>${visible(name)}</h1>
      <p>${columns.status_names[columns.status[at]]}${reason ? `: ${reason}` : ""}. It was not explained and not scored: there is no more to see than this.</p>
      <ul><li>active on ${percent(columns.density[at])} of the evidence tokens that were surveyed</li><li>peak ${short(columns.peak[at])}</li><li>${percent(columns.single[at])} of its top contexts peak on one token</li></ul></div>`;
  }

  function Explained({ record, facts }) {
    const { explanation } = record;
    if (explanation.status !== "ok") return html`<p class="bad">No explanation: ${visible(explanation.reason)}.</p>`;
    return html`<p class="explanation"><${Text} text=${explanation.text} /></p>
      <p class="quiet">${explanation.kind}, by ${visible(explanation.explainer || "somebody who is not known")}; ${record.candidates.length
        ? `chosen of ${record.candidates.length} candidates by its score on evidence, ${number(explanation.evidence_score)}`
        : facts.published ? "published: how it was chosen is not known" : "what it was chosen from is not in this folder"}.</p>`;
  }

  const scoreOf = (record, shard, scorer, pairing, facts) => {
    const row = record.scores.find((each) => shard.texts[each[0]] === scorer && shard.texts[each[1]] === pairing
      && shard.texts[each[2]] === facts.cell.metric && shard.texts[each[3]] === facts.cell.slice);
    return row && { value: row[5], chance: row[6], tokens: row[7], contexts: row[8], reason: shard.texts[row[4]] };
  };

  function Scored({ facts, arm, columns, at, record, shard, run }) {
    const own = scoreOf(record, shard, facts.cell.scorer, "own", facts);
    const literal = scoreOf(record, shard, "literal", "own", facts), table = scoreOf(record, shard, "lookup", "own", facts);
    const others = record.shuffled.filter((row) => row[1] !== null);
    if (!own) return html`<section><h2>Score</h2><p>This unit was not scored by ${facts.cell.scorer}.</p></section>`;
    const marks = [[literal, "literal", "read literally, with no model:"], [table, "table", "a table of tokens, with no explanation:"]]
      .filter(([found, name]) => found && found.value !== null && name !== facts.cell.scorer).map(([found, name, words]) => ({ value: found.value, name, words }));
    const null_ = scoreOf(record, shard, facts.cell.scorer, "shuffled", facts);
    const above = others.filter((row) => own.value !== null && row[1] >= own.value).length;
    const words = own.value === null ? `not scored: ${own.reason}` : `score ${number(own.value)}; ${others.length} other explanations score ${others.length ? `${number(Math.min(...others.map((r) => r[1])))} to ${number(Math.max(...others.map((r) => r[1])))}` : "nothing known"}`;
    return html`<section aria-labelledby="score"><h2 id="score">Score: ${own.value === null ? html`<span class="bad">none, ${visible(own.reason)}</span>` : number(own.value)}</h2>
      <${Ruler} score=${own.value} chance=${own.chance} band=${arm.band} others=${others.map((row) => row[1])} marks=${marks} words=${words} />
      <p>By ${facts.cell.scorer}${facts.cell.scorer === "literal" ? ", which reads the words literally, with no model" : ""}: ${facts.cell.words}; ${own.tokens} tokens of ${own.contexts} contexts.
        ${own.value !== null && columns.rank[at] && html` Rank ${columns.rank[at]} of ${columns.of[at]} ${arm.words}.`}
        ${others.length > 0 && html` Its null: with the explanations of ${others.length} other units of its arm it scores ${number(others.reduce((a, r) => a + r[1], 0) / others.length)} on average
          (ticks; ${above === 0 ? "none" : above} as high as its own: p = ${number((above + 1) / (others.length + 1), 3)} for this unit alone, unadjusted).`}
        ${others.length === 0 && null_ && null_.value !== null && html` Its null: with the explanations of other units of its arm it scores ${number(null_.value)} on average; this folder has not kept each of these scores.`}
        ${others.length === 0 && (!null_ || null_.value === null) && html` Its null is not known: ${null_ ? visible(null_.reason) : "no other unit's explanation was tried on it"}.`}
        ${arm.band && html` Grey: 95% of all such ${arm.band.single ? "scores" : "means"} of the arm, ${number(arm.band.low)} to ${number(arm.band.high)}.`}
        ${marks.map((mark) => html` <span class=${`key ${mark.name}`}>▾</span> ${mark.words} ${number(mark.value)}.`)}
        ${literal && literal.value === null && facts.cell.scorer !== "literal" && html` Read literally, with no model: none, ${visible(literal.reason)}.`}
        ${table && table.value === null && facts.cell.scorer !== "lookup" && html` A table of tokens: none, ${visible(table.reason)}.`}
        ${" "}A single unit's score has no interval of its own: those of the arms are over units.</p>
      ${others.length > 0 && html`<details><summary>Other units' explanations on this unit</summary><ol>${others.map((row) => html`<li>${number(row[1])}: <${UnitLink} run=${run} columns=${columns} name=${row[0]} /> <${Text} text=${columns.text[columns.place.get(row[0])] || ""} /></li>`)}</ol></details>`}
    </section>`;
  }

  const FEW = 5;

  function Group({ title, note, contexts, record, whole, few = FEW, predicted }) {
    const [all, setAll] = useState(false);
    if (!contexts.length) return null;
    const shown = all ? contexts : contexts.slice(0, few);
    return html`<section class="group"><h3>${title} <span class="quiet">${note}</span></h3>
      ${shown.map((context, place) => html`<${Context} key=${`${context.id}-${place}`} context=${context} record=${record} whole=${whole} predicted=${predicted} />`)}
      ${contexts.length > few && html`<button onClick=${() => setAll(!all)}>${all ? "fewer" : `all ${contexts.length}`}</button>`}</section>`;
  }

  function Contexts({ record, contexts, whole, setWhole }) {
    const of = (split, test) => contexts.filter((context) => context.split === split && test(context.kind));
    const bands = record.bands.map(([split, kind, share, low, high]) => ({ split, kind, share, low, high }));
    const range = (band) => `${percent(band.share)} of the contexts; peaks of those drawn ${short(band.low)} to ${short(band.high)}`;
    return html`<section><h2>Held-out contexts: <span class="key true">true</span> above, <span class="key predicted">predicted</span> below</h2>
      <p><label><input type="checkbox" checked=${whole} onChange=${(event) => setWhole(event.target.checked)} /> whole contexts</label>
        <span class="quiet"> Colours: share of the unit's own highest activation, and of the highest prediction. Underlined: tokens that the explanation names. Point at a token for its values.</span></p>
      <${Group} title="Top" note="the highest peaks of the held-out split" contexts=${of("held-out", (kind) => kind === "top")} record=${record} whole=${whole} />
      <${Group} title="Random" note="what it mostly meets" contexts=${of("held-out", (kind) => kind === "random")} record=${record} whole=${whole} />
      ${bands.filter((band) => band.split === "held-out").map((band) => html`<${Group} key=${band.kind} title=${`Interval ${Number(band.kind.split("-")[1]) + 1}`} note=${range(band)} contexts=${of("held-out", (kind) => kind === band.kind)} record=${record} whole=${whole} few=${3} />`)}
      <${Group} title="Hard negatives" note="they resemble the active ones, and leave it silent" contexts=${of("held-out", (kind) => kind.startsWith("hard-negative"))} record=${record} whole=${whole} />
      <h2>Evidence: what the explainer saw</h2>
      <${Group} title="Top" note="the highest peaks of the evidence split" contexts=${of("evidence", (kind) => kind === "top")} record=${record} whole=${whole} predicted=${false} />
      ${bands.filter((band) => band.split === "evidence").reverse().map((band) => html`<${Group} key=${band.kind} title=${`Interval ${Number(band.kind.split("-")[1]) + 1}`} note=${range(band)} contexts=${of("evidence", (kind) => kind === band.kind)} record=${record} whole=${whole} few=${3} predicted=${false} />`)}
      <${Group} title="Hard negatives" note="they resemble the active ones, and leave it silent" contexts=${of("evidence", (kind) => kind.startsWith("hard-negative"))} record=${record} whole=${whole} predicted=${false} />
    </section>`;
  }

  function Candidates({ record, name }) {
    if (!record.candidates.length) return null;
    return html`<details><summary>Every candidate (${record.candidates.length})</summary><div class="scroll" tabindex="0" role="region" aria-label="candidates"><table>
      <thead><tr><th scope="col">on evidence</th><th scope="col">text</th><th scope="col">kind</th><th scope="col">explainer</th><th scope="col">orientation</th></tr></thead>
      <tbody>${record.candidates.map(([unit, explainer, kind, text, score, picked, status, reason, answer]) => html`<tr>
        <td class="number">${score === null ? "" : number(score)}${picked ? " ✓" : ""}</td>
        <td>${status === "ok" ? html`<${Text} text=${text} />` : html`<span class="bad">${visible(reason)}</span>${answer && html`<pre><${Text} text=${answer} /></pre>`}`}</td>
        <td>${kind}</td><td>${explainer}</td><td>${unit === name ? "this one" : visible(unit)}</td></tr>`)}</tbody></table></div></details>`;
  }

  function Judged({ record }) {
    return Object.entries(record.judged).map(([judge, items]) => {
      const answered = items.filter((item) => item[3] !== null);
      const right = answered.filter((item) => (item[3] > 0.5) === item[2]).length;
      return html`<details><summary>Judge ${judge}: ${right} of ${answered.length} items right${answered.length < items.length ? `, ${items.length - answered.length} not judged` : ""}; a coin is right on half</summary>
        <div class="scroll" tabindex="0" role="region" aria-label=${`items of ${judge}`}><table><thead><tr><th scope="col">context or token</th><th scope="col">active</th><th scope="col" class="number">P(yes)</th></tr></thead>
        <tbody>${items.map(([context, token, truth, probability, reason]) => html`<tr><td>${token ? html`<${Text} text=${token} />` : context}</td><td>${truth ? "yes" : "no"}</td>
          <td class="number">${probability === null ? html`<span class="bad">${visible(reason)}</span>` : number(probability)}</td></tr>`)}</tbody></table></div></details>`;
    });
  }

  function Numbers({ record, shard }) {
    const text = (place) => shard.texts[place];
    return html`<details><summary>Every score (${record.scores.length})</summary><div class="scroll" tabindex="0" role="region" aria-label="scores"><table>
      <thead><tr><th scope="col">scorer</th><th scope="col">explanation</th><th scope="col">metric</th><th scope="col">contexts</th><th scope="col" class="number">score</th><th scope="col" class="number">chance</th><th scope="col" class="number">tokens</th></tr></thead>
      <tbody>${record.scores.map((row) => html`<tr><td>${text(row[0])}</td><td>${text(row[1])}</td><td>${text(row[2])}</td><td>${text(row[3])}</td>
        <td class="number">${row[5] === null ? html`<span class="bad">${visible(text(row[4]))}</span>` : number(row[5])}</td><td class="number">${row[6] === null ? "" : number(row[6])}</td><td class="number">${row[7] ?? ""}</td></tr>`)}</tbody></table></div></details>`;
  }

  function Effects({ record, facts }) {
    const listed = (tokens) => tokens.map((token) => html`<li><${Text} text=${token} flat=${true} /></li>`);
    return html`<h2>What it does to the next token</h2>
      ${!record.effects ? html`<p class="quiet">${facts.effects ? "Not computed for this unit." : "This folder does not hold the table of promoted tokens (work/effects.parquet)."}</p>`
      : record.effects.reason ? html`<p class="quiet">${visible(record.effects.reason)}.</p>`
      : html`<div class="two"><div><h3>promotes</h3><ul class="tokens">${listed(record.effects.promoted)}</ul></div><div><h3>suppresses</h3><ul class="tokens">${listed(record.effects.suppressed)}</ul></div></div>
        <p class="quiet">By its direction alone, through the final norm and the unembedding.</p>`}`;
  }

  function Provenance({ record, facts }) {
    const { hook, sae, index, sign, threshold, subject } = record.facts;
    const rows = [["model", facts.model], ["hook", hook], ["SAE", sae || "none"], ["number", index], ["orientation", sign > 0 ? "+" : "−"], ["threshold", threshold ? short(threshold) : "none"],
      ["subject", subject || "the model itself"], ["text", facts.text], ["start token", facts.start_token], ["prompt", record.explanation.prompt || (facts.published ? "not known" : "none: no model was asked")], ["seed", facts.seeds], ["run", facts.name]];
    return html`<h2>Where it is from</h2><dl>${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${visible(value)}</dd>`)}</dl>
      <details><summary>model, SAE, text</summary><ul>${facts.provenance.map((line) => html`<li>${line}</li>`)}</ul></details>`;
  }

  autointerp.Unit = Unit;
  autointerp.scoreOf = scoreOf;
  autointerp.Group = Group;
})();
