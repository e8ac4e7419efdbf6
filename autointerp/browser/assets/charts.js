/* Charts as SVG: every point leads to its unit. */
"use strict";

(function () {
  const { html, number, short } = autointerp;
  const { linkOf, within } = autointerp.parts;
  const GOLDEN = 0.618033988749895;

  function ticksOf(low, high) {
    const step = [0.05, 0.1, 0.2, 0.25, 0.5, 1].find((each) => (high - low) / each <= 7) || 2;
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + 1e-9; at += step) found.push(Math.round(at * 100) / 100);
    return found;
  }

  /* Scores of all arms: points, the band of other units' explanations, mean with interval. */
  function Distribution({ run, facts, columns }) {
    const width = 940, left = 290, right = 20, tall = 58;
    const arms = facts.arms;
    const own = arms.map((arm) => pointsOf(columns, arm.arm));
    const all = own.flat().map((point) => point.score);
    const bands = arms.flatMap((arm) => (arm.band ? [arm.band.low, arm.band.high] : []));
    const low = Math.min(-0.05, ...all, ...bands), high = Math.max(1, ...all, ...bands);
    const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
    const height = arms.length * tall + 34;
    return html`<div class="scroll" tabindex="0" role="region" aria-label="scores of all arms">
      <svg viewBox="0 0 ${width} ${height}" class="chart" role="group" aria-label=${`Scores: ${facts.cell.words}`}>
        ${ticksOf(low, high).map((tick) => html`<g><line x1=${x(tick)} x2=${x(tick)} y1="0" y2=${height - 26} class="rule" />
          <text x=${x(tick)} y=${height - 10} text-anchor="middle">${number(tick)}</text></g>`)}
        ${arms.map((arm, place) => html`<${Arm} key=${arm.arm} run=${run} arm=${arm} points=${own[place]} y=${place * tall} x=${x} tall=${tall} left=${left} />`)}
      </svg></div>`;
  }

  function pointsOf(columns, arm) {
    const code = columns.arm_names.indexOf(arm);
    const found = [];
    for (let at = 0; at < columns.score.length; at++) {
      if (columns.arm[at] === code && columns.score[at] !== null) found.push({ unit: columns.units[at], score: columns.score[at] });
    }
    return found.sort((a, b) => a.score - b.score);
  }

  function Arm({ run, arm, points, y, x, tall, left }) {
    const middle = y + tall / 2;
    const mean = arm.own;
    const mark = (of, shape, label) => of && html`<g class="mark"><title>${label} ${number(of.mean)}</title>${shape(x(of.mean))}</g>`;
    return html`<g>
      <a href=${within(run, `list?arm=${encodeURIComponent(arm.arm)}`)}><text x=${left - 10} y=${middle - 4} text-anchor="end" class="name">${arm.words.length > 46 ? `${arm.words.slice(0, 45)}\u2026` : arm.words}</text>
        <text x=${left - 10} y=${middle + 13} text-anchor="end" class="quiet">${mean ? `${number(mean.mean)} [${number(mean.low)}, ${number(mean.high)}], n = ${mean.n}` : "none scored"}</text></a>
      ${arm.band && html`<rect x=${x(arm.band.low)} width=${Math.max(1, x(arm.band.high) - x(arm.band.low))} y=${y + 6} height=${tall - 12} class="band">
        <title>${`with other units' explanations: 95% of ${arm.band.n} ${arm.band.single ? "scores" : "units' mean scores"} are in ${number(arm.band.low)} to ${number(arm.band.high)}`}</title></rect>`}
      ${points.map((point, place) => html`<a href=${linkOf(run, point.unit)} aria-label=${`${point.unit}: ${number(point.score)}`}>
        <circle cx=${x(point.score)} cy=${middle + ((((place + 1) * GOLDEN) % 1) - 0.5) * (tall - 26)} r="4.5" fill=${arm.colour}><title>${point.unit}: ${number(point.score)}</title></circle></a>`)}
      ${mean && html`<line x1=${x(mean.low ?? mean.mean)} x2=${x(mean.high ?? mean.mean)} y1=${middle} y2=${middle} class="interval" />
        <rect x=${x(mean.mean) - 4} y=${middle - 4} width="8" height="8" transform=${`rotate(45 ${x(mean.mean)} ${middle})`} class="mean" />`}
      ${mark(arm.literal, (at) => html`<path d=${`M ${at - 5} ${y + 5} h 10 l -5 8 z`} class="literal" />`, "the same explanations read literally, mean")}
      ${mark(arm.table, (at) => html`<path d=${`M ${at - 5} ${y + tall - 5} h 10 l -5 -8 z`} class="table" />`, "a table of tokens, mean")}
    </g>`;
  }

  /* One unit's score beside what other explanations of its arm score on it, and the dumbest readings. */
  function Ruler({ score, chance, band, others, marks, words }) {
    const width = 560, height = 74, left = 14, right = 14;
    const values = [score, chance, ...others, ...marks.map((mark) => mark.value), band && band.low, band && band.high].filter((v) => v !== null && v !== undefined);
    const low = Math.min(-0.1, ...values), high = Math.max(1, ...values);
    const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
    return html`<svg viewBox="0 0 ${width} ${height}" class="chart ruler" role="img" aria-label=${words}>
      ${band && html`<rect x=${x(band.low)} width=${Math.max(1, x(band.high) - x(band.low))} y="18" height="24" class="band" />`}
      <line x1=${left} x2=${width - right} y1="42" y2="42" class="axis" />
      ${ticksOf(low, high).map((tick) => html`<text x=${x(tick)} y="58" text-anchor="middle">${number(tick)}</text>`)}
      ${others.map((value) => html`<line x1=${x(value)} x2=${x(value)} y1="24" y2="38" class="other" />`)}
      ${marks.map((mark) => html`<path d=${`M ${x(mark.value) - 5} 8 h 10 l -5 9 z`} class=${mark.name}><title>${mark.words} ${number(mark.value)}</title></path>`)}
      ${score !== null && html`<line x1=${x(score)} x2=${x(score)} y1="10" y2="46" class="score" />`}
    </svg>`;
  }

  /* How activations above 0 are distributed: counts on a logarithmic scale, because few are high. */
  function Histogram({ of, arm }) {
    const width = 320, height = 110, base = 88;
    const most = Math.max(1, ...of.counts);
    const tall = (count) => (count ? 6 + (72 * Math.log(count)) / Math.log(Math.max(2, most)) : 0);
    const each = width / of.counts.length;
    const active = of.counts.reduce((a, b) => a + b, 0);
    const words = `${active} of ${of.tokens} tokens are active, up to ${short(of.top)}`;
    return html`<figure class="histogram"><svg viewBox="0 0 ${width} ${height}" class="chart" role="img" aria-label=${words}>
      ${of.counts.map((count, place) => html`<rect x=${place * each + 0.5} width=${each - 1} y=${base - tall(count)} height=${tall(count)} fill=${arm.colour}>
        <title>${short((place * of.top) / of.counts.length)} to ${short(((place + 1) * of.top) / of.counts.length)}: ${count} tokens</title></rect>`)}
      <line x1="0" x2=${width} y1=${base} y2=${base} class="axis" />
      <text x="0" y="104">0</text><text x=${width} y="104" text-anchor="end">${short(of.top)}</text>
    </svg><figcaption class="quiet">${words}; heights are logarithmic, the highest is ${most}.</figcaption></figure>`;
  }

  autointerp.charts = { Distribution, Ruler, Histogram };
})();
