"use strict";
(() => {
  const board = JSON.parse(document.getElementById("data").textContent);
  const tasks = new Map(board.tasks.map((task) => [task.id, task]));
  const ENCODERS = { frozen: "Frozen", views: "Views", trained: "Trained", any: "All" };
  const SEES = { frozen: "frozen features", views: "frozen features, and of augmented views of the training images" };
  const LEVELS = { A: "equals the authors' code numerically", B: "reproduces a published figure under its protocol", C: "passes oracles and tests of its definition" };
  const SETTINGS = { tuned: "Tuned", default: "Default", released: "Released" };
  const NARROW = { borda: "Borda", trend: "By code length", seeds: "Seeds", fit: "Training time", trials: "Trials" };
  const $ = (id) => document.getElementById(id);

  // Elements are built from text, so that no label can be markup.
  function h(name, attributes, ...children) {
    const svg = ["svg", "line", "circle", "path", "text", "title"].includes(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value === true) node.setAttribute(key, "");
      else if (value !== false && value != null) node.setAttribute(key, value);
    }
    node.append(...children.flat().filter((child) => child != null && child !== false));
    return node;
  }

  // State: everything that the page shows is in the query string.
  const query = new URLSearchParams(location.search);
  const state = {
    task: query.get("task"), bits: Number(query.get("bits")), encoder: query.get("encoder"),
    settings: query.get("settings"), sort: query.get("sort") || "rank", order: query.get("order"),
    q: query.get("q") || "", all: query.get("all") === "1", record: query.get("record"),
    hide: new Set((query.get("hide") || "").split(",").filter((name) => name in NARROW)),
  };
  const facet = (part = {}) => {
    const { task, bits, encoder, settings } = { ...state, ...part };
    return [task, bits, encoder, settings].join("|");
  };
  const rowsOf = (task, bits) => board.rows.filter((row) => row.task === task && row.bits === bits);
  const lengths = (task) => [...new Set(board.rows.filter((row) => row.task === task).map((row) => row.bits))].sort((a, b) => a - b);
  const exists = (part) => {
    const wanted = { ...state, ...part };
    if (wanted.settings === "released") return rowsOf(wanted.task, wanted.bits).some((row) => row.settings === "released");
    return facet(part) in board.rankings;
  };

  // The data set and features that the page opens with: those measured with the present metrics
  // before others, then tuned ones, then those with the most methods.
  function firstTask() {
    const keys = Object.keys(board.rankings).filter((key) => key.includes("|frozen|"));
    const present = keys.filter((key) => board.rows[board.rankings[key][0][0]].record.metric_version === board.metric_version);
    const candidates = [present, keys, Object.keys(board.rankings)].find((names) => names.length);
    if (!candidates) return board.tasks[0].id;
    const tuned = candidates.filter((key) => key.endsWith("|tuned"));
    const methods = (key) => board.rankings[key].length;
    const [first] = (tuned.length ? tuned : candidates).toSorted((a, b) => methods(b) - methods(a));
    return first.split("|")[0];
  }

  // Replace what does not exist by the closest facet that does: tuned and frozen first. What the
  // reader has just chosen stays.
  function settle(chosen) {
    if (!tasks.has(state.task)) state.task = firstTask();
    const known = lengths(state.task);
    if (!known.includes(state.bits)) state.bits = known.includes(32) ? 32 : known[known.length - 1];
    const settings = [state.settings, "tuned", "default", "released"].filter((name) => name in SETTINGS);
    const encoders = [state.encoder, "frozen", "any", "trained"].filter((name) => name in ENCODERS);
    const facets = settings.flatMap((setting) => encoders.map((encoder) => ({ settings: setting, encoder })));
    if (chosen === "encoder") facets.sort((a, b) => encoders.indexOf(a.encoder) - encoders.indexOf(b.encoder));
    const found = facets.find(exists);
    if (found) return Object.assign(state, found);
    Object.assign(state, { settings: "default", encoder: "frozen" });
  }

  function address() {
    const part = new URLSearchParams({ task: state.task, bits: state.bits, encoder: state.encoder, settings: state.settings });
    if (state.sort !== "rank") part.set("sort", state.sort);
    if (state.order) part.set("order", state.order);
    if (state.q) part.set("q", state.q);
    if (state.all) part.set("all", "1");
    if (state.hide.size) part.set("hide", [...state.hide].join(","));
    if (state.record) part.set("record", state.record);
    return `?${part}`;
  }

  // Numbers
  const fixed = (value) => value.toFixed(3);
  function duration(seconds) {
    if (seconds < 0.01) return "< 0.01 s";
    if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(0)} s`;
    return seconds < 3600 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }
  const seconds = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 });
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const rankText = (place) => (place.low === place.high ? `${place.low}` : `${place.low}–${place.high}`);
  const spread = (row) => (row.deviation == null ? "" : `± ${fixed(row.deviation)}`);

  // The rows of the facet: those that are ranked, and those beside.
  function view() {
    const { points = [] } = board.votes[facet()] || {};
    const ranked = (board.rankings[facet()] || []).map(([index, rank, low, high], position) => ({ row: board.rows[index], rank, low, high, best: low === 1, borda: points[position] }));
    const inside = new Set(ranked.map((entry) => entry.row));
    const beside = rowsOf(state.task, state.bits)
      .filter((row) => !inside.has(row) && !row.control && (state.all || row.settings === "released"))
      .map((row) => ({ row, why: why(row) }))
      .sort((a, b) => b.row.mean - a.row.mean);
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = ({ row }) => words.every((word) => `${row.label} ${row.variant} ${row.method}`.toLowerCase().includes(word));
    return {
      groups: [
        { name: "best", title: bestTitle(ranked), entries: ranked.filter((entry) => entry.best && fits(entry)) },
        { name: "below", title: "Significantly below the best", entries: ranked.filter((entry) => !entry.best && fits(entry)) },
        { name: "beside", title: ranked.length ? "Not in this ranking" : "Not ranked", entries: beside.filter(fits) },
      ].filter((group) => group.entries.length),
      ranked,
    };
  }
  const bestTitle = (ranked) => (ranked.filter((entry) => entry.best).length > 1 ? "Not distinguishable from the best" : "The best");
  function why(row) {
    if (row.settings === "released") return "released settings, not ranked";
    if (row.ablation) return "ablation, not ranked";
    if (state.encoder !== "any" && row.encoder !== state.encoder) return { trained: "trains its encoder", views: "reads views", frozen: "frozen features" }[row.encoder] + ": another ranking";
    return `${row.settings} settings: another ranking`;
  }

  const KEYS = {
    rank: (entry) => -entry.row.mean, method: (entry) => entry.row.label.toLowerCase(), map: (entry) => entry.row.mean, borda: (entry) => entry.borda ?? -1,
    seeds: (entry) => entry.row.seeds.length, fit: (entry) => entry.row.fit_seconds, trials: (entry) => entry.row.trials,
  };
  const FIRST = { map: "descending", borda: "descending", seeds: "descending" };
  const direction = () => state.order || FIRST[state.sort] || "ascending";
  function sorted(entries) {
    const key = KEYS[state.sort] || KEYS.rank;
    const sign = direction() === "descending" ? -1 : 1;
    return [...entries].sort((a, b) => sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
  }

  // Facets
  function segments(name, title, options) {
    const legend = h("legend", {}, title);
    const inputs = options.map(([value, text, enabled]) => h("label", { title: enabled ? null : "Nothing to rank with these settings" },
      h("input", { type: "radio", name, value, checked: String(state[name]) === String(value), disabled: !enabled, "aria-label": text }), h("span", {}, text)));
    return h("fieldset", {}, legend, h("div", { class: "segments" }, inputs));
  }
  function drawFacets() {
    const form = $("facets");
    const focused = document.activeElement && form.contains(document.activeElement) ? document.activeElement : null;
    const again = focused && (focused.type === "radio" ? `input[name="${focused.name}"][value="${focused.value}"]` : `select[name="${focused.name}"]`);
    const select = h("select", { name: "task" }, board.tasks.map((task) => h("option", { value: task.id, selected: task.id === state.task }, `${task.dataset} · ${task.features}`)));
    const can = (part) => exists(part);
    form.replaceChildren(
      h("label", {}, h("span", { class: "name" }, "Data set and features"), select),
      segments("bits", "Code length in bits", lengths(state.task).map((bits) => [bits, String(bits), true])),
      segments("encoder", "Encoder", Object.entries(ENCODERS).map(([key, text]) => [key, text, Object.keys(SETTINGS).some((settings) => settings !== "released" && can({ encoder: key, settings }))])),
      segments("settings", "Settings", Object.entries(SETTINGS).map(([key, text]) => [key, text, can({ settings: key }) || Object.keys(ENCODERS).some((encoder) => can({ settings: key, encoder }))])),
    );
    form.hidden = false;
    if (again) form.querySelector(again)?.focus();
  }
  $("facets").addEventListener("change", (event) => {
    const { name, value } = event.target;
    state[name] = name === "bits" ? Number(value) : value;
    if (name === "task") Object.assign(state, { encoder: "frozen", settings: "tuned" });
    state.record = null;
    draw(name);
  });
  $("facets").addEventListener("submit", (event) => event.preventDefault());

  const chanceRow = () => rowsOf(state.task, state.bits).find((row) => row.control);

  function drawTask() {
    const task = tasks.get(state.task);
    const { query: queries, database, train } = task.sizes;
    const chance = chanceRow();
    const ranking = board.rankings[facet()];
    const rows = ranking ? ranking.map(([index]) => board.rows[index]) : rowsOf(state.task, state.bits);
    const versions = [...new Set(rows.map((row) => row.record.metric_version))];
    const old = versions.some((version) => version !== board.metric_version);
    $("task").replaceChildren(
      h("p", {}, h("strong", {}, `${task.dataset}, protocol ${task.protocol}`), ` · ${count(queries, "query").replace("querys", "queries")} · ${count(database, "database image")} · ${count(train, "training image")}`,
        chance ? ` · chance ${fixed(chance.mean)}` : ""),
      h("p", {}, "Task ", h("code", {}, `${task.name} / split ${task.split.slice(0, 12)} / metrics ${versions.join(", ")}`), old ? ` · measured with an earlier version of the metrics than the present ${board.metric_version}` : ""),
      h("details", {}, h("summary", {}, "Rules of the split and features"),
        h("ul", {}, task.rules.map((rule) => h("li", {}, `${rule.rule} `, h("span", { class: "tag" }, rule.source))),
          h("li", {}, `Features: ${task.features}${task.dimensions ? `, ${task.dimensions} dimensions` : ""}. ${task.note || ""}`))),
    );
  }

  // Plots
  function scale() {
    const rows = rowsOf(state.task, state.bits).filter((row) => state.all || !row.ablation);
    const values = [...rows.flatMap((row) => [row.low, row.high]), ...Object.values(tasks.get(state.task).controls)];
    const low = Math.max(0, Math.min(...values) - 0.02), high = Math.min(1, Math.max(...values) + 0.02);
    const rough = (high - low) / 4;
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25].find((size) => size >= rough) || 0.25;
    const from = Math.floor(low / step) * step, to = Math.ceil(high / step) * step;
    const ticks = [];
    for (let tick = from; tick <= to + 1e-9; tick += step) ticks.push(tick);
    return { x: (value) => (100 * (value - from)) / (to - from), ticks, step };
  }
  const at = (value) => `${value.toFixed(2)}%`;
  function references(axis, height) {
    const chance = chanceRow();
    const lines = axis.ticks.map((tick) => h("line", { class: "axis", x1: at(axis.x(tick)), x2: at(axis.x(tick)), y1: 0, y2: height }));
    if (chance) lines.push(h("line", { class: "chance", x1: at(axis.x(chance.mean)), x2: at(axis.x(chance.mean)), y1: 0, y2: height }));
    for (const value of Object.values(tasks.get(state.task).controls))
      lines.push(h("line", { class: "control", x1: at(axis.x(value)), x2: at(axis.x(value)), y1: 0, y2: height }));
    return lines;
  }
  function plot(row, axis) {
    const words = `${row.label}: ${fixed(row.mean)}, interval ${fixed(row.low)} to ${fixed(row.high)}`;
    return h("svg", { height: 40, role: "img", "aria-label": words }, h("title", {}, words), references(axis, 40),
      h("line", { class: "whisker", x1: at(axis.x(row.low)), x2: at(axis.x(row.high)), y1: 20, y2: 20 }),
      row.seeds.length > 1 ? row.seeds.map((seed) => h("circle", { class: "seed", cx: at(axis.x(seed.value)), cy: 31, r: 2.2 })) : [],
      h("circle", { class: "dot", cx: at(axis.x(row.mean)), cy: 20, r: 5.5 }));
  }
  const ticks = (axis) => h("svg", { class: "ticks", height: 16, "aria-hidden": "true" }, axis.ticks.map((tick) => h("text", { x: at(axis.x(tick)), y: 12, "text-anchor": "middle" }, String(Number(tick.toFixed(2))))));
  function trend(row) {
    const all = board.rows.filter((other) => other.task === row.task && other.variant === row.variant).sort((a, b) => a.bits - b.bits);
    if (all.length < 2) return h("span", { class: "quiet" }, "–");
    const known = lengths(row.task), peers = board.rows.filter((other) => other.task === row.task && !other.control && (row.ablation || !other.ablation));
    const low = Math.min(...peers.map((other) => other.mean)), high = Math.max(...peers.map((other) => other.mean));
    const x = (bits) => 4 + (88 * known.indexOf(bits)) / (known.length - 1), y = (mean) => 34 - (30 * (mean - low)) / (high - low || 1);
    const words = all.map((other) => `${other.bits} bits: ${fixed(other.mean)}`).join(", ");
    return h("svg", { viewBox: "0 0 96 38", height: 38, role: "img", "aria-label": words }, h("title", {}, words),
      h("path", { class: "line", d: all.map((other, index) => `${index ? "L" : "M"}${x(other.bits).toFixed(1)} ${y(other.mean).toFixed(1)}`).join("") }),
      h("circle", { class: "dot", cx: x(row.bits), cy: y(row.mean), r: 3.5 }));
  }

  // The table
  function heading(key, text, extra = {}) {
    const current = state.sort === key;
    const toggle = () => {
      const opposite = direction() === "ascending" ? "descending" : "ascending";
      state.order = current ? opposite : null;
      state.sort = key;
      draw();
      document.querySelector(`[data-sort="${key}"]`).focus();
    };
    return h("th", { scope: "col", "aria-sort": current ? direction() : "none", ...extra }, h("button", { type: "button", "data-sort": key, onclick: toggle }, text));
  }
  function drawRanking() {
    const { groups, ranked } = view();
    const axis = scale();
    const useful = { trend: lengths(state.task).length > 1, borda: voters().length > 1 };
    const shown = (name) => !state.hide.has(name) && useful[name] !== false;
    const head = h("thead", {}, h("tr", {}, heading("rank", "Rank"), heading("method", "Method"), heading("map", "mAP"),
      h("th", { scope: "col", class: "plot" }, h("span", { class: "quiet" }, "Mean and 95 % interval"), ticks(axis)),
      shown("borda") && heading("borda", "Borda", { class: "number" }), shown("trend") && h("th", { scope: "col", class: "trend" }, "By length"),
      shown("seeds") && heading("seeds", "Seeds", { class: "number" }), shown("fit") && heading("fit", "Training", { class: "number" }),
      shown("trials") && heading("trials", "Trials", { class: "number" })));
    const columns = head.firstChild.children.length;
    const bodies = groups.map((group) => h("tbody", { class: group.name },
      h("tr", { class: "group" }, h("th", { colspan: columns, scope: "rowgroup" }, group.title, ticks(axis))),
      sorted(group.entries).map((entry) => tableRow(entry, axis, shown))));
    const table = h("table", { class: "board" }, head, bodies);
    const total = groups.reduce((sum, group) => sum + group.entries.length, 0);
    $("ranking").replaceChildren(tools(total),
      total ? h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rows of the ranking" }, table) : h("p", { class: "empty" }, ranked.length || state.all ? "No row fits the filter." : "Nothing is measured with these settings."),
      total ? legend() : "", ranked.length && shown("borda") ? electorate() : "", reported() || "");
  }
  // Values of other sources at this code length, which were not measured here.
  function reported() {
    const task = tasks.get(state.task);
    const values = board.reported.filter((entry) => entry.plugin === task.plugin && entry.bits === state.bits);
    if (!values.length) return null;
    const number = (entry) => `${entry.qualifier} ${fixed(entry.low)}${entry.low === entry.high ? "" : `–${fixed(entry.high)}`}`.trim();
    const source = ({ source: text }) => (/^https?:/.test(text) ? h("a", { href: text }, text.replace(/^https?:\/\/(github\.com\/)?/, "")) : text);
    const titles = ["Metric", "Protocol", "Method", "Value", "Features", "Status", "Source"];
    const line = (entry) => h("tr", { class: entry.status === "withdrawn" ? "withdrawn" : null }, h("td", {}, entry.metric), h("td", {}, entry.protocol || "not stated"), h("th", { scope: "row" }, entry.method), h("td", { class: "reported-value" }, number(entry), entry.runs > 1 ? h("small", {}, count(entry.runs, "run")) : ""), h("td", {}, entry.features || "not stated"),
      h("td", {}, entry.status, entry.note ? h("small", {}, entry.note) : ""), h("td", {}, source(entry)));
    return h("details", { class: "reported", open: reportedOpen, ontoggle: (event) => { reportedOpen = event.target.open; } }, h("summary", {}, `Reported elsewhere: ${count(values.length, "value")} at ${state.bits} bits`),
      h("p", { class: "quiet" }, "None of these was measured here, and none is ranked. A value is comparable with a row above only if protocol, metric, features and training images are the same."),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Reported values" }, h("table", {}, h("thead", {}, h("tr", {}, titles.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, values.map(line)))));
  }
  let reportedOpen = false;
  // The rankings that vote, grouped by data set and features.
  const voters = () => board.votes[facet()]?.voters || [];
  function electorate() {
    const bits = new Map();
    for (const [task, length] of voters().map((name) => name.split("|"))) bits.set(task, [...(bits.get(task) || []), length]);
    const parts = [...bits].map(([name, all]) => `${tasks.get(name).dataset}, ${tasks.get(name).features} (${all.join(", ")} bits)`);
    return h("p", { class: "legend" }, `Borda: ${count(voters().length, "ranking")} with all of these rows vote: ${parts.join("; ")}.`);
  }
  function tableRow(entry, axis, shown) {
    const { row } = entry;
    const details = entry.why || (row.settings === "fixed" ? "no parameters" : row.trials ? `tuned, ${count(row.trials, "trial")}` : `${row.settings} settings`);
    const rank = entry.rank
      ? [h("b", {}, String(entry.rank)), h("span", { title: "95 % interval of the rank" }, rankText(entry) === String(entry.rank) ? "" : rankText(entry))]
      : h("span", { title: "not ranked" }, "–");
    return h("tr", { class: "row" },
      h("td", { class: "rank" }, rank),
      h("th", { class: "method", scope: "row" }, h("span", { class: "who" }, row.label), h("small", {}, details, row.encoder === "trained" ? `, trains ${row.network}` : "", row.tested ? "" : ", too few seeds")),
      h("td", { class: "value" }, h("button", { type: "button", "data-record": row.variant, "aria-haspopup": "dialog", onclick: () => open(row.variant) }, fixed(row.mean)), h("small", {}, spread(row))),
      h("td", { class: "plot" }, plot(row, axis)),
      shown("borda") && h("td", { class: "number" }, entry.borda == null ? "–" : entry.borda.toFixed(2)), shown("trend") && h("td", { class: "trend" }, trend(row)),
      shown("seeds") && h("td", { class: "number" }, String(row.seeds.length)),
      shown("fit") && h("td", { class: "number" }, duration(row.fit_seconds)),
      shown("trials") && h("td", { class: "number" }, row.trials ? String(row.trials) : "–"));
  }
  function legend() {
    const key = (name, text) => h("span", {}, h("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, h("line", { class: name, x1: 1, x2: 25, y1: 5, y2: 5 })), text);
    const controls = Object.entries(tasks.get(state.task).controls).map(([label, value]) => `${label[0].toLowerCase()}${label.slice(1)} ${fixed(value)}`);
    return h("p", { class: "legend" }, chanceRow() && key("chance", "chance"),
      controls.length ? key("control", `features without hashing: ${controls.join(", ")}`) : null,
      h("span", {}, h("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, h("circle", { class: "seed", cx: 6, cy: 5, r: 2.2 }), h("circle", { class: "seed", cx: 13, cy: 5, r: 2.2 }), h("circle", { class: "seed", cx: 20, cy: 5, r: 2.2 })), "each seed"));
  }
  function tools(total) {
    const search = h("input", { type: "search", placeholder: "Filter methods", "aria-label": "Filter methods", value: state.q, oninput: (event) => {
      state.q = event.target.value;
      const caret = event.target.selectionStart;
      draw();
      const again = $("ranking").querySelector('input[type="search"]');
      again.focus();
      again.setSelectionRange(caret, caret);
    } });
    const orders = { rank: "rank", method: "method", map: "mAP", borda: "Borda", seeds: "seeds", fit: "training time", trials: "trials" };
    const order = h("select", { class: "order", "aria-label": "Sort by", onchange: (event) => { Object.assign(state, { sort: event.target.value, order: null }); draw(); $("ranking").querySelector(".order").focus(); } },
      Object.entries(orders).filter(([key]) => key !== "borda" || voters().length > 1).map(([key, text]) => h("option", { value: key, selected: key === state.sort }, `Sort by ${text}`)));
    const check = (checked, text, change) => h("label", { class: "check" }, h("input", { type: "checkbox", checked, onchange: change }), text);
    const menu = h("details", { class: "menu", open: columnsOpen, ontoggle: (event) => { columnsOpen = event.target.open; } }, h("summary", {}, "Columns"), h("div", {}, Object.entries(NARROW).map(([name, text]) => check(!state.hide.has(name), text, () => {
      if (!state.hide.delete(name)) state.hide.add(name);
      draw();
    }))));
    const button = (text, action) => h("button", { type: "button", onclick: action }, text);
    return h("div", { class: "tools" }, search, order,
      check(state.all, "Show all measured rows", (event) => { state.all = event.target.checked; draw(); $("ranking").querySelector(".check input").focus(); }),
      h("output", { class: "quiet" }, count(total, "row")), h("span", { class: "space" }), menu,
      h("span", { class: "files" }, button("CSV", () => save("csv", csv())), button("LaTeX", () => save("tex", latex())), button("BibTeX", () => save("bib", bibtex())), button("Copy link", share)));
  }
  let columnsOpen = false;

  // Records
  const settingsText = (params) => {
    const entries = Object.entries(params);
    return entries.length ? entries.map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join("\n") : "none";
  };
  function command(record) {
    const files = record.configfiles.length ? ` --configfile ${record.configfiles.join(" ")}` : "";
    return `git checkout ${record.commit}\nsnakemake --cores all${files}`;
  }
  const points = (row) => board.votes[facet()].points[board.rankings[facet()].findIndex(([index]) => board.rows[index] === row)];
  function open(variant) {
    const row = rowsOf(state.task, state.bits).find((other) => other.variant === variant);
    if (!row) { state.record = null; return; }
    state.record = variant;
    const { record } = row, task = tasks.get(row.task);
    const place = (board.rankings[facet()] || []).find(([index]) => board.rows[index] === row);
    const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value != null && value !== "").flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    const newest = row.seeds[row.seeds.length - 1];
    const dialog = $("record");
    dialog.replaceChildren(
      h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "×"),
      h("h2", { id: "record-title" }, row.label),
      h("div", { class: "quiet" }, `${task.dataset} (${task.protocol}), ${task.features}, ${row.bits} bits`),
      h("p", { class: "headline" }, `mAP ${row.mean.toFixed(4)}`, h("small", {}, `95 % interval ${row.low.toFixed(4)} to ${row.high.toFixed(4)}${row.deviation == null ? "" : `, deviation ${row.deviation.toFixed(4)} over ${row.seeds.length} seeds`}`)),
      h("h3", {}, "Seeds"),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Seeds" }, h("table", {}, h("thead", {}, h("tr", {}, ["Seed", "mAP", "Training", "Date", "Commit", "SHA-256 of the codes"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, row.seeds.map((seed) => h("tr", {}, h("td", {}, String(seed.seed)), h("td", {}, seed.value.toFixed(4)), h("td", {}, duration(seed.fit_seconds)), h("td", {}, seed.date),
          h("td", {}, h("code", {}, seed.commit.slice(0, 10))), h("td", {}, h("code", { title: seed.codes }, seed.codes.slice(0, 16)))))))),
      h("h3", {}, "Record"),
      facts([
        ["Rank", place ? `${place[1]}, interval ${place[2]} to ${place[3]}` : "not in this ranking"],
        ["Borda", place && voters().length > 1 ? `${points(row).toFixed(3)} of all points in ${voters().length} rankings` : ""],
        ["Settings", row.settings === "fixed" ? "the method has no parameters" : row.settings === "tuned" ? `tuned on validation labels, ${count(row.trials, "trial")}` : row.settings],
        ["Encoder", SEES[row.encoder] || `${row.network}, trained by the method`],
        ["Fidelity", row.fidelity && `${row.fidelity}: ${LEVELS[row.fidelity]}`],
        ["Labels used", row.labels_used == null ? "" : row.labels_used ? `${row.labels_used.toLocaleString("en")}, to choose the settings` : "none"],
        ["Core-seconds", row.core_seconds == null ? "" : `${seconds(row.core_seconds)} to train all seeds${row.core_seconds_of_trials == null ? "" : `, ${seconds(row.core_seconds_of_trials)} for the trials`}`],
        ["Note", row.note], ["Peak memory", `${row.memory_mib.toLocaleString("en", { maximumFractionDigits: 0 })} MiB`],
        ["Versions", Object.entries(record.versions).map(([name, version]) => `${name} ${version}`).join(", ")],
        ["Machine", `${record.machine}, ${record.device}; repeats ${record.repeats || "unknown"}`],
        ["Metrics", `version ${record.metric_version}`],
        ["Split", h("code", {}, record.split)], ["Features", h("code", {}, record.features)],
        ["Attested", record.attested ? `${count(record.attested, "later commit")} gave equal codes` : "no"],
        ["Published in", h("code", {}, `results/published/${record.folder}/runs.jsonl.gz`)],
      ]),
      h("h3", {}, "Parameters"), h("pre", { tabindex: 0 }, settingsText(record.params)),
      h("h3", {}, "Command"), h("pre", { tabindex: 0 }, command({ ...record, commit: newest.commit })),
      h("h3", {}, "Digests of the sources"), facts(Object.entries(board.sources[record.sources]).map(([name, digest]) => [name, h("code", {}, digest)])),
      row.citation ? [h("h3", {}, "Citation"), h("pre", { tabindex: 0 }, board.bibtex[row.citation])] : [],
    );
    history.replaceState(null, "", address());
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }
  $("record").addEventListener("close", () => {
    const variant = state.record;
    state.record = null;
    history.replaceState(null, "", address());
    document.querySelector(`[data-record="${CSS.escape(variant || "")}"]`)?.focus();
  });
  $("record").addEventListener("click", (event) => { if (event.target === $("record")) $("record").close(); });

  // Files
  const entriesShown = () => view().groups.flatMap((group) => sorted(group.entries).map((entry) => ({ ...entry, group: group.name })));
  function csv() {
    // A text that starts like a formula gets a quote in front, as spreadsheets expect.
    const cell = (value) => {
      let text = String(value ?? "");
      if (typeof value === "string" && /^[=+\-@\t]/.test(text)) text = `'${text}`;
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const header = ["rank", "rank_low", "rank_high", "borda", "group", "method", "variant", "bits", "map", "low", "high", "deviation", "seeds", "settings", "encoder", "fit_seconds", "trials", "task", "split_sha256", "metric_version"];
    const lines = entriesShown().map(({ row, rank, low, high, borda, group }) => [rank, low, high, borda, group, row.label, row.variant, row.bits, row.mean, row.low, row.high, row.deviation, row.seeds.length, row.settings, row.encoder, row.fit_seconds, row.trials, row.task, row.record.split, row.record.metric_version]);
    return [header, ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
  }
  const ESCAPES = { "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", $: "\\$", "#": "\\#", _: "\\_", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}" };
  const tex = (text) => text.replace(/[\\&%$#_{}~^<>]/g, (character) => ESCAPES[character]);
  function latex() {
    const task = tasks.get(state.task), entries = entriesShown();
    const line = ({ row, rank, low, high }) => {
      const cite = row.citation ? `~\\cite{${row.citation}}` : "";
      const interval = rank ? (low === high ? `${rank}` : `${rank} (${low}--${high})`) : "--";
      const deviation = row.deviation == null ? "" : ` $\\pm$ ${fixed(row.deviation)}`;
      return `${tex(row.label)}${cite} & ${fixed(row.mean)}${deviation} & ${fixed(row.low)}--${fixed(row.high)} & ${interval} \\\\`;
    };
    const part = (name) => entries.filter((entry) => entry.group === name).map(line);
    const parts = ["best", "below", "beside"].map(part).filter((lines) => lines.length);
    const caption = `Mean average precision over all ranks on ${task.dataset} (protocol ${task.protocol}), ${task.features}, ${state.bits} bits, ${SETTINGS[state.settings].toLowerCase()} settings. Rows above the first rule are not distinguishable from the best. Rows without a rank are not ranked. Task: split ${task.split.slice(0, 12)}, metrics version ${[...new Set(entries.map((entry) => entry.row.record.metric_version))].join(", ")}.`;
    return ["% \\usepackage{booktabs}", "\\begin{table}", "\\centering", `\\caption{${tex(caption)}}`, "\\begin{tabular}{llll}", "\\toprule", "Method & mAP & 95\\,\\% interval & Rank \\\\", "\\midrule",
      parts.map((lines) => lines.join("\n")).join("\n\\midrule\n"), "\\bottomrule", "\\end{tabular}", "\\end{table}", ""].join("\n");
  }
  function bibtex() {
    const keys = [tasks.get(state.task).citation, ...entriesShown().map((entry) => entry.row.citation)].filter(Boolean);
    return [...new Set(keys)].map((key) => board.bibtex[key]).join("\n\n") + "\n";
  }
  function save(kind, text) {
    const type = { csv: "text/csv", tex: "application/x-tex", bib: "application/x-bibtex" }[kind];
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` })), download: `leaderboard-${state.task.replace("/", "-")}-${state.bits}bit.${kind}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  function toast(text) {
    $("toast").textContent = text;
    $("toast").classList.add("shown");
    setTimeout(() => $("toast").classList.remove("shown"), 1800);
  }
  async function share() {
    const link = location.href.replace(/[?#].*/, "") + address();
    try {
      await navigator.clipboard.writeText(link);
      toast("The link to this view is copied");
    } catch {
      prompt("The link to this view:", link);
    }
  }

  // Light and dark, stored as the documentation stores it.
  const MODES = { auto: "system", light: "light", dark: "dark" };
  const stored = () => { try { return localStorage.getItem("mode"); } catch { return null; } };
  function setMode(mode) {
    if (mode === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = mode;
    $("theme").textContent = `Theme: ${MODES[mode]}`;
    $("theme").dataset.mode = mode;
  }
  $("theme").addEventListener("click", () => {
    const names = Object.keys(MODES);
    const next = names[(names.indexOf($("theme").dataset.mode) + 1) % names.length];
    setMode(next);
    try {
      localStorage.setItem("mode", next);
      localStorage.setItem("theme", next === "auto" ? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light") : next);
    } catch { /* a page from a file may have no storage */ }
  });

  function draw(chosen) {
    settle(chosen);
    drawFacets();
    drawTask();
    drawRanking();
    history.replaceState(null, "", address());
  }
  setMode(stored() in MODES ? stored() : "auto");
  draw();
  if (state.record) open(state.record);
})();
