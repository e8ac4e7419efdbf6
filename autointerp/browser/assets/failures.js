/* Everything that came to nothing, with the answer that could not be read. */
"use strict";

(function () {
  const { html, visible, Text, useState } = autointerp;
  const { UnitLink } = autointerp.parts;
  const WORDS = { proposal: "candidates that could not be read or ranked", explanation: "units without an explanation", simulation: "contexts without a prediction",
    judgement: "items without a verdict", score: "units without a score", unit: "units left out before sampling" };
  const MOST = 100;

  function Failures({ run, facts, columns }) {
    const groups = new Map();
    for (const each of facts.failures) {
      const key = JSON.stringify([each.stage, each.who, each.reason]);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(each);
    }
    const sorted = [...groups.values()].sort((a, b) => b.length - a.length);
    return html`<div><h1>Failures</h1>
      <p>${facts.failures.length === 0 ? "Nothing failed." : `${facts.failures.length} rows, in ${sorted.length} groups. A failure is counted, and is never a 0.`}</p>
      ${sorted.map((rows) => html`<${Group} key=${JSON.stringify([rows[0].stage, rows[0].who, rows[0].reason])} run=${run} columns=${columns} rows=${rows} />`)}</div>`;
  }

  function Group({ run, columns, rows }) {
    const [open, setOpen] = useState(false);
    const { stage, who, reason } = rows[0];
    return html`<details onToggle=${(event) => setOpen(event.target.open)}><summary>${rows.length} × ${visible(reason)} <span class="quiet">${WORDS[stage]}${who ? `, ${visible(who)}` : ""}</span></summary>
      ${open && html`<ul>${rows.slice(0, MOST).map((row) => html`<li><${UnitLink} run=${run} columns=${columns} name=${row.unit} />${row.answer && html`<pre><${Text} text=${row.answer} /></pre>`}</li>`)}</ul>
        ${rows.length > MOST && html`<p class="quiet">and ${rows.length - MOST} more: the list of units can be filtered by status.</p>`}`}</details>`;
  }

  autointerp.Failures = Failures;
})();
