/* Units beside a unit: a feature's neurons, the features that use a neuron, the nearest of its kind. */
"use strict";

(function () {
  const { html, number } = autointerp;
  const { UnitLink } = autointerp.parts;

  const kindOf = (arm) => arm.split(":")[0];

  function titleOf(mine, theirs, by) {
    if (by === "correlation") return `${theirs === "feature" ? "Features" : "Neurons"} active with it`;
    if (mine === "feature" && theirs === "neuron") return "Neurons that make it up";
    if (mine.startsWith("neuron") && theirs === "feature") return "Features that use it";
    return theirs === "feature" ? "Nearest features by decoder" : "Nearest neurons by direction";
  }

  const NOTES = { cosine: "as near by weights as a random direction gets", correlation: "as near by activation as it gets with its activations moved to another context" };

  function Beside({ run, facts, columns, record }) {
    if (!record.relations.length) {
      return html`<h2>Units beside it</h2><p class="quiet">Not known: ${facts.near || (record.facts.subject ? "it is a unit of a scrambled subject" : "no feature or neuron of its hook is near it")}.</p>`;
    }
    const groups = new Map();
    for (const [arm, by, other, cosine, correlation, chance] of record.relations) {
      const key = `${arm}\n${by}`;
      if (!groups.has(key)) groups.set(key, { arm, by, chance, rows: [] });
      groups.get(key).rows.push({ other, cosine, correlation });
    }
    return html`<h2>Units beside it</h2><p class="quiet">Weight: cosine of what the two write at the hook, of a neuron its share in the feature. Links lead to units that were drawn.</p><div class="two">${[...groups.values()].map((group) => html`<${Near} key=${group.arm + group.by} run=${run} columns=${columns} mine=${kindOf(record.facts.arm)} group=${group} />`)}</div>`;
  }

  function Near({ run, columns, mine, group }) {
    const value = (row) => row[group.by];
    const above = group.chance === null ? null : group.rows.filter((row) => value(row) > group.chance).length;
    return html`<div><h3>${titleOf(mine, kindOf(group.arm), group.by)}${group.arm.includes(":") ? ` (${group.arm.split(":").slice(1).join(":")})` : ""}</h3>
      <table class="near"><thead><tr><th scope="col">unit</th><th scope="col" class="number">weight</th><th scope="col" class="number">corr.</th></tr></thead>
        <tbody>${group.rows.map((row) => html`<tr class=${group.chance !== null && value(row) <= group.chance ? "chance" : ""}><td><${UnitLink} run=${run} columns=${columns} name=${row.other} shown=${row.other.split("/").pop()} /></td>
          <td class="number">${row.cosine === null ? "" : number(row.cosine)}</td><td class="number">${row.correlation === null ? "" : number(row.correlation)}</td></tr>`)}</tbody></table>
      <p class="quiet">${group.chance === null ? "What chance gives is not known." : `${above} of ${group.rows.length} are nearer than chance: ${number(group.chance)} is ${NOTES[group.by]} among all of this arm.`}</p></div>`;
  }

  autointerp.Beside = Beside;
})();
