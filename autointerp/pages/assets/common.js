/* What all pages share: data that arrives as scripts, text that can't be code, tokens with their activations. */
"use strict";

var autointerp = (function () {
  const { h, render, Fragment, Component } = preact;
  const { useState, useEffect, useMemo, useRef, useCallback } = preactHooks;
  const html = htm.bind(h);

  /* ---- data: every data file calls take(NAME, VALUE) ---- */
  const arrived = new Map();
  const waiting = new Map();

  function take(name, value) {
    arrived.set(name, value);
  }

  /* The value of a data file, loaded once: a promise. An error says which file is missing. */
  function load(name, path) {
    if (arrived.has(name)) return Promise.resolve(arrived.get(name));
    if (!waiting.has(name)) {
      waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = path;
        script.onload = () => arrived.has(name) ? resolve(arrived.get(name))
          : reject(new Error(`${path} holds no ${name}: make the pages again`));
        script.onerror = () => {
          waiting.delete(name);
          reject(new Error(`${path} can't be loaded: make the pages again`));
        };
        document.head.appendChild(script);
      }));
    }
    return waiting.get(name);
  }

  /* ---- text: nothing in it may hide or turn what stands around it ---- */
  const UNSEEN = /\udb40[\udc00-\udfff]|[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff]/g;
  const PAIRS = /[\ud800-\udbff][\udc00-\udfff]/g;

  function named(found) {
    if (found === "\n") return "\u21b5";
    if (found === "\t") return "\u21e5";
    return [...found].map((c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0")).join("");
  }

  /* Parts of a text: strings, and {unseen} for what can't be seen or would turn the direction of the rest. */
  function parts(text) {
    const found = [];
    let from = 0;
    const safe = String(text).replace(PAIRS, (pair) => (/\udb40[\udc00-\udfff]/.test(pair) ? pair : "\ue000\ue000"));
    UNSEEN.lastIndex = 0;
    for (let match; (match = UNSEEN.exec(safe)); ) {
      if (match.index > from) found.push(String(text).slice(from, match.index));
      found.push({ unseen: String(text).slice(match.index, match.index + match[0].length) });
      from = match.index + match[0].length;
    }
    if (from < String(text).length) found.push(String(text).slice(from));
    return found;
  }

  function Shown({ text, flat = false }) {
    return parts(text).map((part) => typeof part === "string" ? part
      : html`<span class="unseen">${named(part.unseen)}</span>${part.unseen === "\n" && !flat ? "\n" : null}`);
  }

  function Text({ text, flat = false }) {
    return html`<bdi class="text"><${Shown} text=${text} flat=${flat} /></bdi>`;
  }

  /* The same as a string, for titles and labels. */
  function visible(text) {
    return parts(text).map((part) => (typeof part === "string" ? part : named(part.unseen))).join("");
  }

  /* ---- numbers ---- */
  function number(value, digits = 2) {
    if (value === null || value === undefined) return "unknown";
    return (Object.is(Math.round(value * 10 ** digits), -0) ? 0 : value).toFixed(digits).replace("-", "\u2212");
  }

  function short(value) {
    if (value === null || value === undefined) return "unknown";
    if (value === 0) return "0";
    const size = Math.abs(value);
    return (size >= 1000 || size < 0.01 ? value.toExponential(1) : String(Number(value.toPrecision(3))))
      .replace(/-/g, "\u2212");
  }

  function percent(value) {
    if (value === null || value === undefined) return "unknown";
    return value > 0 && value < 0.001 ? "<0.1%" : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)}%`;
  }

  /* ---- tokens ---- */
  /* One row of tokens, coloured by values in [0, 1] (or null); `hue`: "true" or "predicted".
     `told(place)`: what is said when the pointer is on a token. `literal`: places that the explanation names.
     `flat`: line ends are shown, and end no line. */
  function Row({ pieces, levels, hue = "true", label, told, onTold, literal, flat = false }) {
    return html`<div class=${flat ? "row flat" : "row"}><span class="hidden">${label}: </span>${pieces.map((piece, place) => {
      const level = levels ? levels[place] : null;
      const style = level ? { backgroundColor: `rgb(var(--${hue}) / ${(0.07 + 0.58 * level).toFixed(3)})` } : null;
      const name = literal && literal.includes(place) ? "token literal" : "token";
      const said = told ? told(place) : null;
      // A token of some bytes of a character has no text: that stands with the last of them.
      const shown = piece === "" && level ? html`<span class="unseen">${"\u2026"}</span>` : html`<${Shown} text=${piece} flat=${flat} />`;
      return html`<span class=${name} style=${style} title=${said && visible(said)} data-place=${place}
        onMouseEnter=${onTold && (() => onTold(place))}>${shown}</span>${flat ? html`<wbr />` : null}`;
    })}</div>`;
  }

  /* ---- theme ---- */
  function setTheme(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    try {
      if (theme) localStorage.setItem("autointerp-theme", theme);
      else localStorage.removeItem("autointerp-theme");
    } catch (error) { /* a browser that stores nothing: the choice holds for this page */ }
  }

  function theme() {
    return document.documentElement.dataset.theme
      || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  }

  try {
    const kept = localStorage.getItem("autointerp-theme");
    if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
  } catch (error) { /* as above */ }

  /* Save text as a file, without a server. */
  function save(name, text, type = "application/json") {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /* The token of the server that sent this page; null for a page out of a folder. */
  const meta = document.querySelector('meta[name="autointerp-token"]');

  return { h, html, render, Fragment, Component, useState, useEffect, useMemo, useRef, useCallback,
    take, load, arrived, Shown, Text, visible, number, short, percent, Row, theme, setTheme, save,
    token: meta ? meta.content : null };
})();
