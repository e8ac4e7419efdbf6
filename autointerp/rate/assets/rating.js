/* The rating page: one unit at a time, by keys, by pointer or by a screen reader. */
"use strict";

(function () {
  const { html, render, useState, useEffect, useRef, Text, Row, theme, setTheme } = autointerp;
  const { Answers, opened, SKIPPED } = autointerpRating;

  /* What a key does on the screen that is shown: set when it is drawn, which is before the next key is read. */
  let onKey = null;
  document.addEventListener("keydown", (event) => onKey && onKey(event));

  function Theme() {
    const [now, setNow] = useState(theme());
    const other = now === "dark" ? "light" : "dark";
    return html`<button type="button" onClick=${() => { setTheme(other); setNow(other); }}>${other} colours</button>`;
  }

  /* ---- the first screen ---- */
  function Start({ data, onStart }) {
    const [name, setName] = useState("");
    const [wrong, setWrong] = useState("");
    const most = data.parts.reduce((sum, part) => sum + part.answers.length - 1, 0);

    function begin(event) {
      event.preventDefault();
      const rater = name.trim().normalize("NFC");
      if (!rater || [...rater].length > 40) setWrong("Write a name of at most 40 letters.");
      else onStart(new Answers(data, rater));
    }

    function open(event) {
      const [file] = event.target.files;
      if (!file) return;
      const box = event.target;
      file.text().then((text) => onStart(opened(data, text))).catch((error) => setWrong(`${file.name}: ${error.message}.`))
        .finally(() => { box.value = ""; });  // the same name, mended, can be chosen again
    }

    return html`<main class="start">
      <h1>Does the explanation fit?</h1>
      <p>A unit is a small part of a language model that is active on some tokens of a text and silent on the others.
        Somebody, or some program, wrote an explanation of each of these ${data.items.length} units. You see what a
        unit does, and say how far its explanation fits: ${data.parts.length} questions, ${most} points at most.</p>
      <ul>
        <li>In each example the token is marked on which the unit is most active there. Examples go from the unit's
          strongest to weaker ones. In the last two, where none is marked, the unit is silent, or as weak as it
          gets.</li>
        ${data.parts.some((part) => part.name === "logits") && html`<li>Promoted tokens are those that the unit makes
          more likely as the next token, the strongest first.</li>`}
        <li>Some explanations are of another unit. Judge what you see, and don't guess what kind of unit it is.</li>
        <li>Keys: a digit answers a question, <kbd>Enter</kbd> goes on, <kbd>Backspace</kbd> takes the last answer
          back, <kbd>P</kbd> shows the unit before, <kbd>S</kbd> passes a unit over that you can't judge.</li>
        <li>You may stop at any time. This browser keeps your answers; at the end save them as a file and send
          it back. On another computer go on from the file.</li>
      </ul>
      <form onSubmit=${begin}>
        <label>Your name or initials, the same whenever you go on:${" "}
          <input type="text" value=${name} onInput=${(event) => setName(event.target.value)} autocomplete="off" />
        </label>${" "}<button type="submit">Begin, or go on</button>
      </form>
      <p><label>Or go on from a saved file:${" "}<input type="file" accept=".json,application/json" onChange=${open} /></label></p>
      <p class="bad" role="alert">${wrong}</p>
      <p><${Theme} /></p>
    </main>`;
  }

  /* ---- a unit ---- */
  const LINES = { "\n": "\u21b5", "\r": "\u240d" };

  function Context({ row, place }) {
    const [pieces, strongest] = row;
    const shown = pieces.map((piece) => piece.replace(/[\n\r]/g, (end) => LINES[end]));
    const weakest = strongest === null;
    return html`<li class="line">
      <span class="order" aria-hidden="true">${weakest ? "silent" : place + 1}</span>
      <${Row} label=${weakest ? "silent, or weakest" : `example ${place + 1}, most active on ${shown[strongest].trim()}`}
        pieces=${shown} levels=${shown.map((_, at) => (at === strongest ? 0.8 : 0))} />
    </li>`;
  }

  function Question({ part, number, current, value, onAnswer }) {
    return html`<fieldset class=${current ? "part current" : "part"}>
      <legend>${part.question}</legend>
      <div class="answers">${part.answers.map((answer, given) => html`<label>
        <input type="radio" name=${`part${number}`} checked=${value === given} onChange=${() => onAnswer(given)} />
        <b>${given}</b>${" "}${answer}</label>`)}</div>
    </fieldset>`;
  }

  function Unit({ data, place, answers, onAnswer, onMove, onEnd }) {
    const item = data.items[place];
    const before = answers.of[item.id];
    const [given, setGiven] = useState(() => data.parts.map((part) => before && before[part.name] != null ? before[part.name] : null));
    const [said, setSaid] = useState("");
    const head = useRef(null);
    const since = useRef(performance.now());
    const current = given.indexOf(null);

    useEffect(() => head.current.focus({ preventScroll: true }), []);

    function answer(number, value) {
      setSaid("");
      setGiven((old) => old.map((each, place) => (place === number ? value : each)));
    }

    function finish(status) {
      if (status === "ok" && current >= 0) {
        setSaid(`Question ${current + 1} has no answer yet.`);
        return;
      }
      const said = Object.fromEntries(data.parts.map((part, n) => [part.name, status === "ok" ? given[n] : null]));
      onAnswer({ item: item.id, status, ms: Math.round(performance.now() - since.current),
        at: Math.floor(Date.now() / 1000), logits: null, ...said });
    }

    function key(event) {
      if (event.ctrlKey || event.altKey || event.metaKey || /^(text|file)$/.test(event.target.type || "")) return;
      const pressed = event.key.toLowerCase();
      const button = event.target.tagName === "BUTTON";
      if (/^[0-9]$/.test(pressed)) {
        if (current < 0) setSaid("All questions are answered: Enter goes on, Backspace takes the last answer back.");
        else if (Number(pressed) < data.parts[current].answers.length) answer(current, Number(pressed));
        else setSaid(`Question ${current + 1} takes 0 to ${data.parts[current].answers.length - 1}.`);
      } else if (pressed === "backspace") answer((current < 0 ? given.length : current) - 1, null);
      else if (pressed === "enter" && !button) finish("ok");
      else if (pressed === "s") finish(SKIPPED);
      else if (pressed === "p") onMove(-1);
      else return;
      event.preventDefault();
    }

    onKey = key;

    return html`<main class="unit">
      <header><h1 tabindex="-1" ref=${head}>Unit ${place + 1} of ${data.items.length}</h1>
        <span class="quiet">${answers.count} answered${before ? (before.status === "ok" ? "; this one too" : "; this one passed over") : ""}</span>
        <span class="tools"><button type="button" onClick=${() => answers.save()}>Save answers</button>
          <button type="button" onClick=${onEnd}>Stop</button><${Theme} /></span></header>
      <p class="explanation"><span class="quiet">Explanation: </span><${Text} text=${item.text} /></p>
      <ul class="contexts" aria-label="Examples, the strongest first">${item.rows.map((row, at) => html`<${Context} row=${row} place=${at} />`)}</ul>
      ${item.promoted.length > 0 && html`<p class="promoted"><span class="quiet">Promoted tokens: </span>${item.promoted.map((token) =>
        html`<span class="one"><${Text} text=${token} /></span>`)}</p>`}
      <form onSubmit=${(event) => event.preventDefault()}>
        ${data.parts.map((part, number) => html`<${Question} part=${part} number=${number} current=${number === current}
          value=${given[number]} onAnswer=${(value) => answer(number, value)} />`)}
        <p class="moves"><button type="button" disabled=${place === 0} onClick=${() => onMove(-1)}>Before (P)</button>
          <button type="button" class="next" onClick=${() => finish("ok")}>Next (Enter)</button>
          <button type="button" onClick=${() => finish(SKIPPED)}>Pass over (S)</button>
          <span class="said" role="status">${said || (answers.kept ? "" : "This browser keeps nothing: save your answers before you close it.")}</span></p>
      </form>
    </main>`;
  }

  /* ---- the last screen ---- */
  function End({ data, answers, onMove }) {
    const open = data.items.length - answers.count;
    return html`<main class="start">
      <h1>${open ? `${open} of ${data.items.length} units are still open` : "All units are answered"}</h1>
      <p>Save your answers as a file, and send it to whom you have this page from.
        ${open > 0 && " You may go on later: here under the same name, or elsewhere from the file."}</p>
      <p><button type="button" class="next" onClick=${() => answers.save()}>Save answers</button>${" "}
        <button type="button" onClick=${onMove}>${open ? "Go on" : "Look at them again"}</button></p>
    </main>`;
  }

  function Rating({ data }) {
    const [answers, setAnswers] = useState(null);
    const [place, setPlace] = useState(0);
    const [, setTurn] = useState(0);
    const firstOpen = (of, from = 0) => {
      const order = [...data.items.keys()].map((n) => (n + from) % data.items.length);
      const found = order.find((n) => !of.of[data.items[n].id]);
      return found === undefined ? -1 : found;
    };

    function start(of) {
      setAnswers(of);
      setPlace(firstOpen(of));
    }

    function answered(answer) {
      answers.give(answer);
      setPlace(firstOpen(answers, place + 1));
      setTurn((turn) => turn + 1);
    }

    onKey = null;
    if (!answers) return html`<${Start} data=${data} onStart=${start} />`;
    if (place < 0) {
      return html`<${End} data=${data} answers=${answers} onMove=${() => setPlace(Math.max(firstOpen(answers), 0))} />`;
    }
    return html`<${Unit} key=${place} data=${data} place=${place} answers=${answers} onAnswer=${answered}
      onMove=${(by) => setPlace(Math.max(place + by, 0))} onEnd=${() => setPlace(-1)} />`;
  }

  autointerp.load("rating", "data.js").then(
    (data) => render(html`<${Rating} data=${data} />`, document.getElementById("page")),
    (error) => render(html`<main><h1>Rating</h1><p class="bad">${error.message}</p></main>`, document.getElementById("page")),
  );
})();
