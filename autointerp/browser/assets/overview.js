/* The first page: what the run found, every arm, every unit a point. */
"use strict";

(function () {
  const { html, number } = autointerp;
  const { Interval, linkOf, within } = autointerp.parts;
  const { Distribution } = autointerp.charts;

  function Overview({ run, facts, columns }) {
    const [first, ...rest] = facts.answer;
    return html`<div>
      <h1>How interpretable are they?</h1>
      <p class="answer">${first}</p>
      ${rest.length > 0 && html`<details><summary>What it must be read beside (${rest.length} more sentences)</summary><ul>${rest.map((line) => html`<li>${line}</li>`)}</ul></details>`}
      <h2>Every unit</h2>
      <p class="quiet">${facts.cell.words}; simulator: ${facts.cell.scorer}. Each point is a unit and leads to its page; grey: what other units' explanations score
        (95% of ${facts.arms.some((arm) => arm.band && !arm.band.single) ? "the units' means over them: this folder has not kept each" : "them"}); diamond: mean with its 95% interval over units; <span class="key literal">▾</span> the same explanations read literally, with no model; <span class="key table">▴</span> a table of mean activation per token, with no explanation.</p>
      <${Distribution} run=${run} facts=${facts} columns=${columns} />
      <div class="scroll" tabindex="0" role="region" aria-label="arms in numbers"><table>
        <thead><tr><th scope="col">units</th><th scope="col" class="number">scored</th><th scope="col" class="number">score</th><th scope="col" class="number">other explanations</th>
          <th scope="col" class="number">read literally</th><th scope="col" class="number">token table</th><th scope="col">best, median, worst</th></tr></thead>
        <tbody>${facts.arms.map((arm) => html`<tr key=${arm.arm}>
          <th scope="row"><a href=${within(run, `list?arm=${encodeURIComponent(arm.arm)}`)}>${arm.words}</a></th>
          <td class="number">${arm.own ? `${arm.own.n} of ${arm.own.n + arm.own.unscored}` : "0"}</td>
          <td class="number"><${Interval} of=${arm.own} /></td><td class="number"><${Interval} of=${arm.shuffled} /></td>
          <td class="number"><${Interval} of=${arm.literal} /></td><td class="number"><${Interval} of=${arm.table} /></td>
          <td><${Ends} run=${run} columns=${columns} arm=${arm.arm} /></td></tr>`)}</tbody></table></div>
      <h2>Where this is from</h2>
      <ul>${facts.provenance.map((line) => html`<li>${line}</li>`)}</ul>
      ${facts.report && run === 0 && html`<p>The whole report, with every table and figure: <a href="../report.html">report.html</a> in the run folder.</p>`}
    </div>`;
  }

  function Ends({ run, columns, arm }) {
    const code = columns.arm_names.indexOf(arm);
    const found = [];
    for (let at = 0; at < columns.score.length; at++) if (columns.arm[at] === code && columns.score[at] !== null) found.push(at);
    found.sort((a, b) => columns.score[b] - columns.score[a]);
    const chosen = [...new Set([found[0], found[Math.floor(found.length / 2)], found[found.length - 1]])].filter((at) => at !== undefined);
    return chosen.map((at, place) => html`${place ? ", " : ""}<a href=${linkOf(run, columns.units[at])}>${columns.units[at].split("/").pop()}</a> ${number(columns.score[at])}`);
  }

  autointerp.Overview = Overview;
})();
