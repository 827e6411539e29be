"use strict";
// Draws the matrix and the cases from the data of the page. Texts are only ever set as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { chains, cases, kinds, signs } = data;
  const text = (number) => data.strings[number];
  const levels = ["must", "should", "de-facto", "policy"];
  const byId = new Map(cases.map((one) => [one.id, one]));

  /** What a cell says, unpacked. */
  const results = data.results.map((r) => ({
    word: text(r[0]), verdict: text(r[1]),
    findings: r[2].map(([kind, line]) => [text(kind), text(line)]), more: r[3],
    known: r[4] && r[4].map(text), seen: r[5].map(text), unchecked: r[6].map((u) => u.map(text)),
    answer: text(r[7]), outcome: r[8] === null ? null : text(r[8]),
    error: r[9] === null ? null : text(r[9]), embargo: r[10] === 1,
  }));
  const result = (one, chain) => (one.cells[chain] < 0 ? null : results[one.cells[chain]]);

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === false || value === null || value === undefined) continue;
      if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }
  const sign = (word) => signs[word] || "?";
  const mark = (word, isNew) => el("span", { class: "mark " + word + (isNew ? " new" : ""), "aria-hidden": "true" }, sign(word));
  const count = (n, what) => n + " " + what + (n === 1 ? "" : "s");
  const rank = (word) => (kinds.indexOf(word) + 100) % 100;

  // Where the spec is silent, tools that made the same tree share a letter.
  function lettersOf(one) {
    if (one.letters) return one.letters;
    one.letters = chains.map(() => null);
    if (one.expect !== "one-of" && one.expect !== "record") return one.letters;
    const seen = new Map();
    chains.forEach((chain, at) => {
      const r = result(one, at);
      if (!r || r.word !== "pass" || !r.answer) return;
      if (!seen.has(r.answer)) seen.set(r.answer, seen.size);
      const n = seen.get(r.answer);
      one.letters[at] = (n >= 26 ? String.fromCharCode(96 + Math.floor(n / 26)) : "") + String.fromCharCode(97 + (n % 26));
    });
    return one.letters;
  }

  // ---- the filters

  const state = { text: "", chains: "", exact: null, levels: new Set(), words: new Set(), expect: "", fold: true, differ: false, titles: chains.length <= 8 };
  const open = new Set();

  function shownChains() {
    if (state.exact !== null) return [state.exact];
    const wanted = state.chains.toLowerCase().split(/\s+/).filter(Boolean);
    const all = chains.map((_, at) => at);
    if (!wanted.length) return all;
    return all.filter((at) => wanted.some((word) => (chains[at].name + " " + chains[at].format).toLowerCase().includes(word)));
  }

  function matches(one, shown) {
    const wanted = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const hay = (one.id + " " + one.title + " " + one.rule + " " + (one.bugs || []).join(" ")).toLowerCase();
    if (!wanted.every((word) => hay.includes(word))) return false;
    if (state.levels.size && !state.levels.has(one.level)) return false;
    if (state.expect && one.expect !== state.expect) return false;
    const words = shown.map((at) => result(one, at)).filter(Boolean);
    if (state.words.size && !words.some((r) => state.words.has(r.word) || (state.words.has("unexplained") && r.verdict === "fail"))) return false;
    if (state.differ && new Set(words.map((r) => r.word)).size < 2 && new Set(lettersOf(one).filter((l, at) => l && shown.includes(at))).size < 2) return false;
    return words.length > 0;
  }

  const status = el("p", { class: "status", role: "status" });
  const grid = el("div", { class: "scroll grid", tabindex: "0", role: "region", "aria-label": "Matrix of cases and converters" });
  const controls = {}, boxes = [];

  function filters() {
    const search = (name, label, hint) => {
      controls[name] = el("input", { type: "search", placeholder: hint, on: { input: (event) => {
        state[name] = event.target.value;
        if (name === "chains") state.exact = null;
        draw();
      } } });
      return el("label", { class: "wide" }, label, controls[name]);
    };
    const toggle = (name, label) => {
      controls[name] = el("input", { type: "checkbox", checked: state[name], on: { change: (event) => { state[name] = event.target.checked; draw(); } } });
      return el("label", {}, controls[name], label);
    };
    const member = (set, word, ...label) => {
      const box = el("input", { type: "checkbox", value: word, on: { change: (event) => {
        if (event.target.checked) set.add(word); else set.delete(word);
        draw();
      } } });
      boxes.push([box, set, word]);
      return el("label", {}, box, ...label);
    };
    const words = [...kinds, "skip", "fixed", "error"].filter((word) => results.some((r) => r.word === word));
    const unexplained = results.some((r) => r.verdict === "fail");
    controls.expect = el("select", { on: { change: (event) => { state.expect = event.target.value; draw(); } } },
      ["", "tree", "reject", "one-of", "record"].map((word) => el("option", { value: word }, word || "anything")));
    return el("form", { class: "filters", "aria-label": "Filters", on: { submit: (event) => event.preventDefault() } },
      search("text", "Cases", "id, title, rule, bug"),
      search("chains", "Converters", "names or formats"),
      el("fieldset", {}, el("legend", {}, "Level"), levels.filter((level) => cases.some((one) => one.level === level))
        .map((level) => member(state.levels, level, level))),
      el("label", {}, "Expects", controls.expect),
      el("fieldset", {}, el("legend", {}, "With"), words.map((word) => member(state.words, word, mark(word), word)),
        unexplained && member(state.words, "unexplained", "not explained yet")),
      el("fieldset", {}, el("legend", {}, "Show"), toggle("fold", "equal rows folded"), toggle("differ", "only where converters differ"), toggle("titles", "titles")),
      el("button", { type: "button", on: { click: reset } }, "Reset"));
  }

  function reset() {
    Object.assign(state, { text: "", chains: "", exact: null, expect: "", fold: true, differ: false });
    state.levels.clear();
    state.words.clear();
    open.clear();
    follow();
    draw();
  }

  /** Sets every control to what the state says. */
  function follow() {
    controls.text.value = state.text;
    controls.chains.value = state.exact === null ? state.chains : chains[state.exact].name;
    controls.expect.value = state.expect;
    for (const name of ["fold", "differ", "titles"]) controls[name].checked = state[name];
    for (const [box, set, word] of boxes) box.checked = set.has(word);
  }

  // ---- the matrix

  let order = [];

  function draw() {
    const shown = shownChains();
    const hits = cases.filter((one) => matches(one, shown));
    order = hits.map((one) => one.id);
    const groups = new Map();
    for (const one of hits) {
      const folder = one.id.includes("/") ? one.id.slice(0, one.id.indexOf("/")) : "";
      if (!groups.has(folder)) groups.set(folder, []);
      groups.get(folder).push(one);
    }
    const head = el("thead", {}, el("tr", {},
      el("th", { class: "corner", scope: "col" }, "case"), el("th", { class: "level", scope: "col" }, ""),
      shown.map((at) => el("th", { scope: "col", title: about(at) }, el("span", { class: "name" }, chains[at].name)))));
    let rows = 0;
    const bodies = [...groups].map(([folder, members]) => {
      const folded = fold(members, shown);
      rows += folded.length;
      return el("tbody", {},
        el("tr", { class: "group" }, el("th", { colspan: String(shown.length + 2), scope: "rowgroup" },
          el("span", {}, (folder || "other") + " ", el("span", { class: "soft" }, String(members.length))))),
        folded.flatMap((set) => rowsOf(set, shown)));
    });
    const table = el("table", { class: shown.length <= 12 && "few", on: { click: choose, keydown: walk, mouseover: explain, focusin: explain } }, head, bodies);
    grid.replaceChildren(table);
    const first = table.querySelector("td.c");
    if (first) first.tabIndex = 0;
    grid.style.setProperty("--head", head.offsetHeight + "px");
    status.textContent = count(hits.length, "case") + " of " + cases.length
      + (state.fold && rows < hits.length ? ", folded to " + count(rows, "row") : "")
      + (shown.length < chains.length ? ", " + count(shown.length, "converter") + " of " + chains.length : "")
      + (hits.length ? "" : ": nothing matches");
  }

  function about(at) {
    const stages = chains[at].stages.map(([name, version]) => name + (version ? ": " + version : ""));
    return chains[at].name + " makes " + chains[at].format + "\n" + stages.join("\n");
  }

  /** Rows with equal cells and level together. */
  function fold(members, shown) {
    if (!state.fold) return members.map((one) => [one]);
    const sets = new Map();
    for (const one of members) {
      const key = one.level + shown.map((at) => {
        const r = result(one, at);
        return r ? "|" + r.word + (r.verdict === "fail" ? "!" : "") + (lettersOf(one)[at] || "") : "|";
      }).join("");
      sets.set(key, [...(sets.get(key) || []), one]);
    }
    return [...sets.values()];
  }

  function rowsOf(set, shown) {
    const [first, ...rest] = set;
    const row = rowOf(first, shown, rest.length);
    if (!rest.length || !open.has(first.id)) return [row];
    return [row, ...rest.map((one) => {
      const equal = rowOf(one, shown, 0);
      equal.classList.add("folded");
      return equal;
    })];
  }

  function rowOf(one, shown, more) {
    const name = one.id.includes("/") ? one.id.slice(one.id.indexOf("/") + 1) : one.id;
    const isOpen = open.has(one.id);
    const unfold = more > 0 && el("button", { type: "button", "aria-expanded": String(isOpen), "data-fold": one.id,
      title: count(more, "more case") + " with the same results" }, (isOpen ? "− " : "+ ") + more);
    return el("tr", {},
      el("th", { class: "row", scope: "row", title: one.title },
        el("span", { class: "line" }, el("a", { href: hashOf(one.id) }, name), unfold), state.titles && el("span", { class: "title" }, one.title)),
      el("td", { class: "level" }, one.level),
      shown.map((at) => cell(one, at)));
  }

  function cell(one, at) {
    const r = result(one, at);
    if (!r) return el("td", { class: "c none", "aria-label": "not asked" });
    const letter = lettersOf(one)[at];
    const isNew = r.verdict === "fail";
    const label = r.word + (isNew ? ", not explained" : r.verdict === "known" ? ", known" : "") + (letter ? ", answer " + letter : "");
    return el("td", { class: "c " + r.word + (isNew ? " new" : ""), tabindex: "-1", "aria-label": label,
      "data-id": one.id, "data-chain": String(at) }, letter || sign(r.word));
  }

  /** The tip of a cell is made when it is needed. */
  function explain(event) {
    const at = event.target.closest("td.c[data-id]");
    if (!at || at.title) return;
    const r = result(byId.get(at.dataset.id), Number(at.dataset.chain));
    const first = r.findings.length ? r.findings[0][1] : r.outcome || r.seen.join(", ");
    at.title = at.dataset.id + "\n" + chains[Number(at.dataset.chain)].name + ": " + r.word + " (" + r.verdict + ")"
      + (first ? "\n" + first.slice(0, 200) : "");
  }

  function choose(event) {
    const button = event.target.closest("button[data-fold]");
    if (button) {
      const id = button.dataset.fold;
      if (open.has(id)) open.delete(id); else open.add(id);
      const { scrollTop, scrollLeft } = grid;
      draw();
      grid.scrollTo(scrollLeft, scrollTop);
      const again = grid.querySelector("button[data-fold=\"" + CSS.escape(id) + "\"]");
      if (again) again.focus();
      return;
    }
    const at = event.target.closest("td.c[data-id]");
    if (at) location.hash = hashOf(at.dataset.id, Number(at.dataset.chain));
  }

  /** Arrows walk the cells, Enter opens one. */
  function walk(event) {
    const at = event.target.closest("td.c");
    if (!at) return;
    const row = at.parentElement;
    const cells = (of) => [...of.querySelectorAll("td.c[data-id]")];
    const column = [...row.children].indexOf(at);
    const step = (to) => {
      if (!to) return;
      event.preventDefault();
      at.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
      to.scrollIntoView({ block: "nearest", inline: "nearest" });
    };
    const vertical = (by) => {
      const all = [...grid.querySelectorAll("tbody tr:not(.group)")];
      for (let i = all.indexOf(row) + by; i >= 0 && i < all.length; i += by) {
        const to = all[i].children[column];
        if (to && to.dataset.id) return to;
      }
      return null;
    };
    const mine = cells(row);
    const here = mine.indexOf(at);
    switch (event.key) {
      case "ArrowRight": step(mine[here + 1]); break;
      case "ArrowLeft": step(mine[here - 1]); break;
      case "ArrowDown": step(vertical(1)); break;
      case "ArrowUp": step(vertical(-1)); break;
      case "Home": step(mine[0]); break;
      case "End": step(mine[mine.length - 1]); break;
      case "Enter": case " ": event.preventDefault(); location.hash = hashOf(at.dataset.id, Number(at.dataset.chain)); break;
    }
  }

  // ---- a case

  const hashOf = (id, chain) => "#case/" + encodeURI(id) + (chain === undefined ? "" : "!" + encodeURI(chains[chain].name));

  function place(rule) {
    const [, where, level, quote] = /^([^]*?), (must|should|de-facto|policy)(?:: "([^]*)")?$/.exec(rule) || [null, rule, "", ""];
    const anchor = /^([a-z-]+\.md)(#[\w-]+)?$/.exec(where);
    const spec = anchor ? link("https://github.com/opencontainers/image-spec/blob/main/" + where, where) : where;
    return [el("p", {}, spec, level && ", " + level), quote && el("blockquote", {}, "“", quote, "”")];
  }

  const link = (to, words) => el("a", { href: to, rel: "noopener noreferrer" }, words);

  /** A text in which only well-formed places on the web become links. */
  function linked(words) {
    const out = [];
    let rest = words;
    const known = /(https:\/\/[\w.-]+\/[\w./#?=&%~@:+-]*[\w/#=~-])|\b(CVE-\d{4}-\d{4,7})\b|\b(GHSA(?:-[0-9a-z]{4}){3})\b|\b([\w-]+\/[\w.-]+)#(\d+)\b/;
    for (let hit; (hit = known.exec(rest)); rest = rest.slice(hit.index + hit[0].length)) {
      out.push(rest.slice(0, hit.index));
      const to = hit[1] || (hit[2] && "https://www.cve.org/CVERecord?id=" + hit[2]) || (hit[3] && "https://github.com/advisories/" + hit[3])
        || "https://github.com/" + hit[4] + "/issues/" + hit[5];
      out.push(link(to, hit[0]));
    }
    return [...out, rest];
  }

  function command(lines) {
    const words = lines.join("\n");
    const button = el("button", { type: "button", "aria-label": "Copy the commands" }, "Copy");
    button.addEventListener("click", () => {
      const done = (said) => { button.textContent = said; };
      if (navigator.clipboard) navigator.clipboard.writeText(words).then(() => done("Copied"), () => done("Failed"));
      else done("No clipboard");
    });
    return el("div", { class: "command" }, el("pre", { tabindex: "0" }, words), button);
  }

  function finding([kind, line]) {
    const parts = /^(missing|extra|modified) +(\S+)(?: +(\S+) +want ([^]*?)  got ([^]*))?$/.exec(line);
    const shown = !parts ? [line]
      : parts[3] ? ["modified ", parts[2], "  ", parts[3], "  want ", el("del", {}, parts[4]), "  got ", el("ins", {}, parts[5])]
        : parts[1] === "missing" ? ["missing  ", el("del", {}, parts[2])] : ["extra    ", el("ins", {}, parts[2])];
    return el("li", {}, mark(kind), el("span", { class: "kind" }, kind), el("code", {}, shown));
  }

  /** The chains by what they came to: the one that was asked for, then the worst, then by answer. */
  function answers(one, chosen) {
    const isOpen = one.expect === "one-of" || one.expect === "record";
    const sets = new Map();
    chains.forEach((_, at) => {
      const r = result(one, at);
      if (!r) return;
      // A time that was the time of the conversion is another one for each tool.
      const lines = r.findings.map(([kind, line]) => [kind, line.replace(/  time  want (.*)  got \d{9,}\.\d+$/, "  time  want $1  got now")]);
      const key = r.word !== "pass" ? JSON.stringify([r.word, r.verdict, lines, r.more, r.known, r.error, r.verdict === "skip" && r.unchecked])
        : isOpen ? "pass " + r.answer : "pass";
      if (!sets.has(key)) sets.set(key, { r, members: [] });
      sets.get(key).members.push(at);
    });
    const isChosen = (set) => Number(!set.members.includes(chosen));
    return [...sets.values()].sort((a, b) => isChosen(a) - isChosen(b) || rankOf(a.r) - rankOf(b.r) || b.members.length - a.members.length);
  }
  const rankOf = (r) => (r.findings.length ? rank(r.word) : { error: 50, fixed: 51, pass: 60, skip: 70 }[r.word] || 65);

  function answer(one, { r, members }, chosen) {
    const letter = lettersOf(one)[members[0]];
    const same = r.answer && r.answer.startsWith("tree:") ? "tree " + r.answer.slice(5) : r.answer === "reject" ? "rejected" : r.answer;
    const words = { pass: "pass", known: "known to fail", fail: "fails, not explained yet", fixed: "known to fail, and passes", skip: "not checked", error: "the harness failed" };
    const heading = (r.findings.length ? r.word + ": " : "") + (words[r.verdict] || r.verdict);
    const mine = chosen !== null && members.includes(chosen);
    return el("div", { class: "answer" + (mine ? " at" : "") },
      el("h4", {}, letter ? el("span", { class: "mark pass", "aria-hidden": "true" }, letter) : mark(r.word, r.verdict === "fail"),
        letter ? (r.outcome ? "“" + r.outcome + "”: " : "") + same : heading,
        !letter && r.outcome && el("span", { class: "soft" }, "as “" + r.outcome + "”"),
        el("span", { class: "soft" }, count(members.length, "converter"))),
      el("ul", { class: "chips" }, members.map((at) => el("li", { class: "chip", title: about(at) }, chains[at].name, " ", el("span", { class: "soft" }, chains[at].format)))),
      r.error && el("p", {}, r.error),
      r.findings.length > 0 && el("ul", { class: "findings" }, r.findings.map(finding)),
      r.more > 0 && el("p", { class: "soft" }, "… and " + r.more + " more; run.json has them all"),
      r.embargo && r.findings.length > 0 && el("p", { class: "soft" }, "Shown by kind only until the maintainers know."),
      r.known && el("p", { class: "known" }, el("b", {}, "Known of " + r.known[0] + ": "), linked(r.known[1]), el("br"), el("span", { class: "soft" }, linked(r.known[2]))),
      r.word !== "pass" && r.unchecked.map(([reason, cause]) => el("p", { class: "soft" }, "not checked: " + reason + ": " + cause)),
      r.word === "pass" && r.seen.length > 0 && el("p", { class: "soft" }, r.seen.join(", ")),
      r.word !== "pass" && r.word !== "skip" && one.id !== "layout" && command(members.map((at) => "harness run " + chains[at].select + " --only " + one.id)));
  }

  function expected(one) {
    const out = [];
    if (one.expect === "reject" || one.because && one.expect !== "record") {
      out.push(el("p", {}, "It must be rejected: ", one.because || "see the case", ". The same image with that repaired must be accepted."));
    } else if (one.expect === "record") {
      out.push(el("p", {}, "No verdict", one.because ? ": " + one.because : "", ". Nothing outside the output may change, and two runs must agree."));
    } else if (one.expect === "one-of") {
      out.push(el("p", {}, "The spec is silent: any of the listed outcomes, and nothing else."));
    }
    for (const [name, lines, leftOut] of one.trees || []) {
      const label = one.expect === "reject" ? "the twin, which is repaired" : one.expect === "one-of" ? "outcome “" + name.slice(one.id.length + 1) + "”" : "the tree";
      out.push(el("details", { open: one.trees.length < 3 }, el("summary", {}, label + ": ", el("code", {}, "golden/" + name + ".mtree")),
        el("pre", { tabindex: "0" }, lines.map((line) => el("span", { class: usual.has(line) ? "base" : "own" }, text(line) + "\n")),
          leftOut > 0 && "… and " + leftOut + " more lines\n")));
    }
    if (!one.trees && !one.embargo) out.push(el("p", { class: "soft" }, "The expected tree stands in the checkout: ", el("code", {}, "harness show " + one.id)));
    return out;
  }

  // Lines that most expected trees have are those of the base layer.
  const usual = (() => {
    const seen = new Map();
    let trees = 0;
    for (const one of cases) for (const [, lines] of one.trees || []) {
      trees += 1;
      for (const line of lines) seen.set(line, (seen.get(line) || 0) + 1);
    }
    return new Set([...seen].filter(([, n]) => trees > 4 && n > trees / 2).map(([line]) => line));
  })();

  function showCase(one, chosen) {
    const at = order.indexOf(one.id);
    const near = (by, words) => (order[at + by] && at >= 0 ? el("a", { href: hashOf(order[at + by]), rel: by < 0 ? "prev" : "next" }, words) : null);
    const origin = one.id.split("@")[0];
    const isLayout = one.id === "layout";
    return [
      el("nav", { "aria-label": "Cases" }, el("a", { href: "#matrix" }, "← All cases"), near(-1, "previous"), near(1, "next"),
        at >= 0 && el("span", { class: "soft" }, at + 1 + " of " + order.length)),
      el("h2", { tabindex: "-1" }, one.title),
      el("p", {}, el("code", {}, one.id), one.expect && el("span", { class: "soft" }, " expects " + one.expect)),
      place(one.rule),
      one.bugs && one.bugs.length > 0 && el("p", {}, "Met in: ", one.bugs.flatMap((bug, i) => [i ? ", " : "", ...linked(bug)])),
      one.note && el("p", {}, "Note: ", linked(one.note)),
      one.embargo && el("p", { class: "warning" }, "This case is held back until the maintainers of the tools it breaks know. Findings are shown by kind only."),
      el("h3", {}, "What the converters make of it"),
      answers(one, chosen).map((set) => answer(one, set, chosen)),
      !isLayout && el("h3", {}, "To take it elsewhere"),
      !isLayout && command(["harness export " + one.id + " --to DIR"]),
      !one.embargo && !isLayout && el("h3", {}, "The image"),
      one.source ? [el("p", {}, el("code", {}, "corpus/" + origin + ".toml"), one.id !== origin && el("span", { class: "soft" }, " before it is varied"),
        !/^base *=/m.test(one.source) && el("span", { class: "soft" }, " on a base layer with /bin/sh")), el("pre", { tabindex: "0" }, one.source)]
        : !one.embargo && !isLayout && el("p", { class: "soft" }, "The checkout this page was made in has no such case."),
      !one.embargo && !isLayout && [el("h3", {}, "What is expected"), ...expected(one)],
    ].flat(Infinity).filter(Boolean);
  }

  // ---- which of both is seen

  const overview = document.getElementById("overview");
  const view = document.getElementById("case");
  const title = document.title;
  let kept = null;

  function route() {
    let hash = location.hash;
    try { hash = decodeURI(hash); } catch { /* Somebody typed it; it is taken as it stands. */ }
    const name = hash.startsWith("#case/") ? hash.slice(6) : null;
    let one = name === null ? null : byId.get(name);
    let chosen = null;
    if (name !== null && !one) {
      const cut = name.indexOf("!");
      one = cut < 0 ? null : byId.get(name.slice(0, cut));
      const found = chains.findIndex((chain) => chain.name === name.slice(cut + 1));
      chosen = found < 0 ? null : found;
    }
    if (name === null) {
      view.hidden = true;
      overview.hidden = false;
      document.title = title;
      if (kept) {
        window.scrollTo(0, kept.top);
        grid.scrollTo(kept.left, kept.grid);
        const back = kept.id && grid.querySelector("[data-id=\"" + CSS.escape(kept.id) + "\"][data-chain=\"" + (kept.chain ?? 0) + "\"]");
        if (back) back.focus({ preventScroll: true });
        kept = null;
      }
      return;
    }
    if (!overview.hidden) kept = { top: window.scrollY, left: grid.scrollLeft, grid: grid.scrollTop };
    if (kept) Object.assign(kept, { id: one && one.id, chain: chosen });
    view.replaceChildren(...(one ? showCase(one, chosen)
      : [el("nav", {}, el("a", { href: "#matrix" }, "← All cases")), el("h2", { tabindex: "-1" }, "No such case"), el("p", {}, el("code", {}, name))]));
    overview.hidden = true;
    view.hidden = false;
    document.title = (one ? one.id : "No such case") + " · " + title;
    window.scrollTo(0, 0);
    view.querySelector("h2").focus({ preventScroll: true });
  }

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && !view.hidden) location.hash = "#matrix";
    if (event.key === "/" && !typing && view.hidden) {
      event.preventDefault();
      controls.text.focus();
    }
  });

  // A count of the scores leads to what it counts.
  for (const td of document.querySelectorAll("#scores td[data-kind]")) {
    const { chain, kind } = td.dataset;
    const n = td.textContent;
    td.replaceChildren(el("button", { type: "button", "aria-label": n + " " + kind + " of " + chain, on: { click: () => {
      reset();
      state.exact = chains.findIndex((one) => one.name === chain);
      state.words.add(kind);
      follow();
      draw();
      document.getElementById("matrix").scrollIntoView();
    } } }, n));
  }

  document.getElementById("matrix").append(filters(), status, grid);
  draw();
  window.addEventListener("hashchange", route);
  route();
})();
