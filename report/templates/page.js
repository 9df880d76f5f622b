// The page is complete without this script, which adds sorting, filtering, toggling, tooltips and the runs behind a number.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Return an element with attributes and children. An attribute that is undefined is omitted. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Contents: on a wide screen they are open and mark the section that is read.
const contents = document.querySelector("nav");
const wide = matchMedia("screen and (min-width: 80rem)");
const entries = new Map(all("a", contents).map((link) => [link.hash.slice(1), link]));
const read = new Set();

const openContents = () => (contents.querySelector("details").open = wide.matches);
wide.addEventListener("change", openContents);
openContents();

const reader = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) isIntersecting ? read.add(target.id) : read.delete(target.id);
  const here = [...entries.keys()].findLast((id) => read.has(id));
  for (const [id, link] of entries) id === here ? link.setAttribute("aria-current", "location") : link.removeAttribute("aria-current");
  if (here && wide.matches) contents.scrollTop = entries.get(here).offsetTop - contents.clientHeight / 2;
}, { rootMargin: "-10% 0px -85% 0px" });
for (const id of entries.keys()) reader.observe(document.getElementById(id));

// Filter: a field shows the rows of its selector that contain every typed word.
for (const field of all("input[data-searches]")) {
  const status = document.getElementById(field.getAttribute("aria-describedby"));
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = all(field.dataset.searches);
    for (const row of rows) row.hidden = !words.every((word) => (row.dataset.words ?? row.textContent).toLowerCase().includes(word));
    for (const body of new Set(rows.map((row) => row.parentElement))) {
      body.classList.toggle("none-found", [...body.rows].every((row) => row.hidden || row.matches(".panel")));
    }
    all("table.results").forEach((table) => reach(table));
    status.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
}

// Sort: a heading sorts the rows of each part of its table: in one order, the other one, then the original one. Cells without a value are last.
const value = (row, column) => {
  const cell = row.cells[column];
  if (!cell || cell.matches(".failed, .missing, .unscored, .omitted")) return null;
  const text = (cell.dataset.value ?? cell.textContent).trim();
  const number = Number(text.replaceAll(",", ""));
  return text === "" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
};

function sort(table, column, direction) {
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.matches(".panel"));
    rows.forEach((row, index) => (row.dataset.position ??= index));
    const sign = direction === "ascending" ? 1 : -1;
    const compared = (one, other) => {
      const [a, b] = direction ? [value(one, column), value(other, column)] : [null, null];
      if (a !== b && a !== null && b !== null) return typeof a === typeof b ? (a < b ? -sign : sign) : typeof a === "number" ? -1 : 1;
      return (a === null) - (b === null) || one.dataset.position - other.dataset.position;
    };
    body.append(...rows.sort(compared));
  }
}

for (const table of all("table[data-sorts]")) {
  const headings = [...table.tHead.rows].at(-1).cells;
  [...headings].forEach((heading, column) => {
    const button = element("button", { type: "button", class: "sort" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numeric = [...table.tBodies].some((body) => [...body.rows].some((row) => typeof value(row, column) === "number"));
      const order = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
      const next = order[order.indexOf(heading.ariaSort) + 1];
      for (const other of headings) other.removeAttribute("aria-sort");
      if (next) heading.ariaSort = next;
      sort(table, column, next);
    });
  });
}

// Legend: each entry toggles its method in all plots. The address lists the hidden methods until a link of the page replaces it.
const hidden = new Set();

function showToggled() {
  for (const line of all("[data-series]")) line.classList.toggle("off", hidden.has(line.dataset.series));
  for (const button of all(".legend button[data-name]")) button.ariaPressed = !hidden.has(button.dataset.name);
}

function toggle(names, off) {
  for (const name of names) off ? hidden.add(name) : hidden.delete(name);
  const state = hidden.size ? `#hide=${[...hidden].map(encodeURIComponent).join(",")}` : location.href.split("#")[0];
  history.replaceState(null, "", state);
  showToggled();
}

function readAddress() {
  const names = new URLSearchParams(location.hash.slice(1)).get("hide"); // unlike decodeURIComponent, it accepts any text
  if (names === null) return;
  hidden.clear();
  for (const name of names.split(",")) hidden.add(name);
  showToggled();
}

for (const legend of all(".legend")) {
  const names = all("li[data-name]", legend).map((entry) => entry.dataset.name);
  for (const entry of all("li[data-name]", legend)) {
    const name = entry.dataset.name;
    const button = element("button", { type: "button", "data-name": name, "aria-pressed": true }, ...entry.childNodes);
    button.addEventListener("click", () => toggle([name], !hidden.has(name)));
    entry.append(button);
  }
  for (const [text, off] of [["All", false], ["None", true]]) {
    const button = element("button", { type: "button", class: "every" }, text);
    button.addEventListener("click", () => toggle(names, off));
    legend.append(element("li", {}, button));
  }
}
addEventListener("hashchange", readAddress);
readAddress();

// Tooltips: the values of the point nearest to the pointer; arrow keys move from point to point.
const REACH = 24; // how far from a point the pointer may be, in units of the drawing
const tip = document.body.appendChild(element("div", { id: "tip", role: "status" }));
let marked = null; // the ring around the point of the tip
const labels = new Map(all(".legend button[data-name]").map((button) => [button.dataset.name, button.textContent.trim()]));

const share = (number, low, high, logarithmic) =>
  logarithmic ? Math.log(number / low) / Math.log(high / low) : (number - low) / (high - low);

/** Position the tip next to its ring, also while the page scrolls: a focused plot is scrolled into view after a key is pressed. */
function positionTip() {
  if (!marked?.isConnected) return;
  const [mark, size] = [marked.getBoundingClientRect(), tip.getBoundingClientRect()];
  const [across, down] = [mark.right + 6, mark.top - size.height - 6];
  tip.style.left = `${Math.max(4, across + size.width > innerWidth - 4 ? mark.left - size.width - 6 : across)}px`;
  tip.style.top = `${down < 4 ? mark.bottom + 6 : down}px`;
}
addEventListener("scroll", positionTip, { passive: true, capture: true });

/** Return the lines of a plot, each a list of points with their position in the drawing and their words. */
function linesOf(panels) {
  return panels.flatMap(({ title, box: [left, top, right, bottom], limits, logarithmic, flipped, x: axis, series }, panel) =>
    series.map(({ name, quantity, x, y, deviation, at, what }) => {
      const [ys, deviations, ranks] = [y, deviation, at].map((text) => text?.split(" "));
      return x.split(" ").map((number, index) => {
        const [across, up] = (flipped ? [ys[index], number] : [number, ys[index]]).map(Number);
        const value = `${quantity} ${ys[index]}${deviations && deviations[index] !== "-" ? ` ± ${deviations[index]}` : ""}`;
        const at = `${axis === "bits" ? `${number} bits` : `${axis} ${number}`}${ranks ? `, ${what} ${ranks[index]}` : ""}`;
        return {
          name,
          panel,
          left: left + (right - left) * share(across, limits[0], limits[1], logarithmic[0]),
          top: bottom - (bottom - top) * share(up, limits[2], limits[3], logarithmic[1]),
          words: (flipped ? [value, title] : [value, at, title]).filter(Boolean),
        };
      });
    })
  );
}

for (const drawing of all(".drawing[data-panels]")) {
  const svg = drawing.querySelector("svg");
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  ring.setAttribute("class", "ring");
  ring.setAttribute("r", 5);
  let cached = null; // the lines, computed when they are first needed
  let [line, index] = [-1, 0];

  const lines = () => (cached ??= linesOf(JSON.parse(drawing.dataset.panels)));
  const point = () => lines()[line]?.[index];
  const isShown = (at) => lines()[at] && !hidden.has(lines()[at][0].name);

  function clearTip() {
    [line, index] = [-1, 0];
    ring.remove();
    tip.classList.remove("shown");
    for (const group of all("[data-series]", svg)) group.classList.remove("faded");
  }

  function showTip() {
    const { name, left, top, words } = point();
    ring.setAttribute("cx", left);
    ring.setAttribute("cy", top);
    svg.append(ring);
    for (const group of all("[data-series]", svg)) group.classList.toggle("faded", group.dataset.series !== name);
    tip.replaceChildren(element("strong", {}, labels.get(name)), ...words.map((text) => element("span", {}, text)));
    tip.classList.add("shown");
    marked = ring;
    positionTip();
  }

  function follow(event) {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let nearest = REACH;
    let best = null;
    lines().forEach((points, at) => {
      if (!isShown(at)) return;
      points.forEach(({ left, top }, position) => {
        const distance = Math.hypot(left - x, top - y);
        if (distance < nearest) [nearest, best] = [distance, [at, position]];
      });
    });
    if (!best) return clearTip();
    if (best[0] === line && best[1] === index) return;
    [line, index] = best;
    showTip();
  }

  /** Return the next visible line: of the same method in another panel, or of another method in this one. */
  function step(by, same) {
    const from = point();
    for (let at = line + by; at >= 0 && at < lines().length; at += by) {
      const first = lines()[at][0];
      if (isShown(at) && (same ? first.name === from.name : first.panel === from.panel)) return at;
    }
    return line;
  }

  function press(event) {
    const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    if (event.key === "Escape") return clearTip();
    if (!(event.key in moves)) return;
    event.preventDefault();
    const [along, across] = moves[event.key];
    if (!point()) {
      line = lines().findIndex((_, at) => isShown(at));
    } else if (along && lines()[line][index + along]) {
      index += along;
    } else {
      const next = step(along || across, Boolean(along));
      if (along && next !== line) index = along > 0 ? 0 : lines()[next].length - 1;
      line = next;
    }
    if (line < 0) return;
    index = Math.min(index, lines()[line].length - 1);
    showTip();
  }

  drawing.setAttribute("role", "application");
  drawing.setAttribute("aria-describedby", "plot-keys");
  drawing.addEventListener("pointermove", follow);
  drawing.addEventListener("pointerdown", follow);
  drawing.addEventListener("pointerleave", clearTip);
  drawing.addEventListener("blur", clearTip);
  drawing.addEventListener("keydown", press);
}

// Provenance: a number opens the runs behind it. They are read from the table of runs, so that the page has each fact once.
const panel = document.getElementById("provenance");
const factNames = all("#runs-table thead th").slice(1).map((heading) => heading.textContent.trim());

/** Return the headings of a cell: its column, unless it spans several, and the group of its column. */
function headingsOf(cell) {
  const rows = [...cell.closest("table").tHead.rows];
  const columns = rows.pop().cells;
  let [end, group] = [0, ""];
  for (const heading of rows[0]?.cells ?? []) {
    if (cell.cellIndex >= end) group = heading.textContent.trim();
    end += heading.colSpan;
  }
  return [cell.colSpan > 1 ? "" : columns[cell.cellIndex].textContent.trim(), group].filter(Boolean);
}

const panelLabel = (body) => body.querySelector(".panel th")?.textContent ?? panelLabel(body.previousElementSibling);

const copied = (cell) => [...cell.cloneNode(true).childNodes];

/** Return names and cells of the facts of some runs: `shared` are equal in all, `differing` are not. */
function factsOf(runs) {
  const facts = factNames.map((name, at) => ({ name, cells: runs.map((run) => run.cells[at + 1]) }));
  const same = ({ cells }) => cells.every((cell) => cell.textContent === cells[0].textContent);
  return { shared: facts.filter((fact) => runs.length && same(fact)), differing: facts.filter((fact) => !same(fact)) };
}

/** Return a table with one row per run: a link to its run.json, its value if there is one, and what differs between the runs. */
function runsTable(runs, values, differing, ofAllLengths) {
  const names = ["Run", ...(values.size ? ["Value"] : []), ...differing.map(({ name }) => name)];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
  const rows = runs.map((run, at) => {
    const [bits, seed] = run.dataset.run.split("/").slice(-2);
    const text = ofAllLengths ? `${bits} bits, seed ${seed}` : `seed ${seed}`;
    const link = run.cells[0].querySelector("a")?.href;
    const first = element("th", { scope: "row" }, link ? element("a", { href: link, title: "run.json" }, text) : text);
    const value = values.size ? [element("td", {}, values.get(seed) ?? "")] : [];
    return element("tr", {}, first, ...value, ...differing.map(({ cells }) => element("td", {}, ...copied(cells[at]))));
  });
  const table = element("table", { class: "records" }, element("thead", {}, head), element("tbody", {}, ...rows));
  return element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Runs behind this number" }, table);
}

function factsList(shared) {
  const present = shared.filter(({ cells }) => cells[0].textContent.trim());
  const entries = present.flatMap(({ name, cells }) => [element("dt", {}, name), element("dd", {}, ...copied(cells[0]))]);
  return element("dl", { class: "facts" }, ...entries);
}

function commandOf(runs, [dataset, features, variant]) {
  const commits = new Set(runs.map((run) => run.dataset.commit).filter(Boolean));
  const commit = commits.size === 1 ? [...commits][0] : panel.dataset.commit;
  const filled = { commit, dataset, features, variant };
  return panel.dataset.command.replace(/\{(\w+)\}/g, (_, name) => filled[name]);
}

function openProvenance(cell) {
  const names = cell.dataset.run.split("/");
  const runs = all("#runs-table tbody tr").filter((run) => `${run.dataset.run}/`.startsWith(`${cell.dataset.run}/`));
  const values = new Map(cell.dataset.values?.split(" ").map((text) => text.split(":")));
  const { shared, differing } = factsOf(runs);
  const method = cell.parentElement.cells[0].firstChild.textContent.trim();
  const title = cell.closest("section").querySelector("h3").textContent;
  panel.querySelector("h2").textContent = [method, ...headingsOf(cell)].join(", ");
  panel.querySelector(".content").replaceChildren(
    element("p", { class: "aside" }, `${title}. ${panelLabel(cell.closest("tbody"))}.`),
    element("p", { class: "shown-value" }, cell.innerText.replace(/\s+/g, " ")),
    ...(runs.length ? [runsTable(runs, values, differing, names.length < 4), factsList(shared)] : []),
    element("h3", {}, "How to recompute it"),
    element("pre", { tabindex: 0 }, element("code", {}, commandOf(runs, names))),
    element("p", { class: "aside" }, panel.dataset.advice),
  );
  panel.showModal();
}

/** The tab key reaches one cell of a table, and the arrow keys reach the others. */
function reach(table, chosen) {
  const buttons = all("tr:not([hidden]) .origin-of", table);
  for (const button of all(".origin-of[tabindex='0']", table)) button.tabIndex = -1;
  if (buttons.length) (chosen ?? buttons[0]).tabIndex = 0;
}

for (const table of all("table.results")) {
  for (const cell of all("td[data-run]", table)) {
    cell.append(element("span", { role: "button", tabindex: -1, "aria-haspopup": "dialog", class: "origin-of" }, ...cell.childNodes));
  }
  reach(table);
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-run]");
    if (cell && getSelection().isCollapsed) openProvenance(cell);
  });
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td[data-run]");
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return openProvenance(cell);
    }
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const rows = all("tbody tr", table).filter((row) => !row.hidden && row.querySelector("td[data-run]"));
    const [down, across] = steps[event.key];
    const row = rows[rows.indexOf(cell.parentElement) + down];
    const next = row?.cells[Math.min(cell.cellIndex + across, row.cells.length - 1)]?.querySelector(".origin-of");
    if (!next) return;
    reach(table, next);
    next.focus();
  });
}
panel.addEventListener("click", (event) => event.target === panel && panel.close());
