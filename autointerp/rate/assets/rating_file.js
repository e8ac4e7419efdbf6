/* Answers: kept by the browser, saved as a file, read back from one. */
"use strict";

var autointerpRating = (function () {
  const VERSION = 1;
  const WHAT = "autointerp ratings";
  const SKIPPED = "skipped";

  /* CRC-32 of a text as UTF-8, eight hex digits: tells a file that was damaged or edited by chance. */
  function checksum(text) {
    let crc = 0xffffffff;
    for (const byte of new TextEncoder().encode(text)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
  }

  const PARTS = ["confidence", "activations", "logits", "specificity"];

  function signed(file) {
    const lines = file.answers.map((a) => [a.item, a.status, a.ms, a.at, ...PARTS.map((p) => a[p] ?? "-")].join(":"));
    return checksum([file.version, file.sheet, file.rater, file.session, ...lines].join("\n"));
  }

  function drawn() {
    return [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
  }

  /* One rater's answers to one page: item -> answer. The later of two answers to an item counts. */
  class Answers {
    constructor(data, rater) {
      this.data = data;
      this.rater = rater;
      this.key = `autointerp-rating ${data.sheet} ${rater}`;
      this.kept = true;
      const stored = this.stored();
      this.session = stored ? stored.session : drawn();
      this.of = stored ? stored.of : {};
    }

    stored() {
      try {
        const text = localStorage.getItem(this.key);
        return text === null ? null : JSON.parse(text);
      } catch (error) {
        this.kept = false;
        return null;
      }
    }

    give(answer) {
      this.of[answer.item] = answer;
      this.keep();
    }

    /* Answers that another tab of this browser gave are kept too. */
    keep() {
      const stored = this.stored();
      if (stored && stored.session === this.session) this.merge(Object.values(stored.of));
      try {
        localStorage.setItem(this.key, JSON.stringify({ session: this.session, of: this.of }));
      } catch (error) {
        this.kept = false;
      }
    }

    merge(answers) {
      for (const answer of answers) {
        const mine = this.of[answer.item];
        if (!mine || mine.at < answer.at) this.of[answer.item] = answer;
      }
    }

    get count() {
      return this.data.items.filter((item) => this.of[item.id]).length;
    }

    file() {
      const answers = this.data.items.map((item) => this.of[item.id]).filter(Boolean);
      const file = { what: WHAT, version: VERSION, sheet: this.data.sheet, rater: this.rater, session: this.session,
        answers };
      return { ...file, sum: signed(file) };
    }

    save() {
      const name = this.rater.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 30) || "rater";
      autointerp.save(`ratings-${this.data.sheet}-${name}.json`, JSON.stringify(this.file(), null, 1) + "\n");
    }
  }

  /* The rater's answers out of a saved file; an Error in one line for what is none of this page. */
  function opened(data, text) {
    let file;
    try {
      file = JSON.parse(text);
    } catch (error) {
      throw new Error("this file is no JSON");
    }
    if (!file || file.what !== WHAT || file.version !== VERSION || !Array.isArray(file.answers)) {
      throw new Error("this file holds no ratings");
    }
    if (file.sheet !== data.sheet) throw new Error("these ratings are of another page");
    if (typeof file.rater !== "string" || !/^[0-9a-f]{16}$/.test(file.session) || file.sum !== signed(file)) {
      throw new Error("this file was changed after it was saved");
    }
    const answers = new Answers(data, file.rater);
    if (answers.count && answers.session !== file.session) {
      throw new Error("another person of that name has answers in this browser");
    }
    answers.session = file.session;
    answers.merge(file.answers.filter((answer) => data.items.some((item) => item.id === answer.item)));
    answers.keep();
    return answers;
  }

  return { Answers, opened, SKIPPED };
})();
