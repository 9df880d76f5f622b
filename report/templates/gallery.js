// Retrieved images and statistics of the codes: draws what the menus choose, from the data and the one picture of each data set.
{
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElementNS(/^(svg|path|rect|line|text|title)$/.test(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const section = document.getElementById("gallery");
  const galleries = [...section.querySelectorAll(".gallery-data")].map((script) => ({
    ...JSON.parse(script.textContent),
    sprite: document.getElementById(script.dataset.sprite),
  }));
  const picks = (what) => [...document.querySelectorAll(`select[data-picks="${what}"]`)];
  // A method that the legend of the plots hides is hidden here too: page.js toggles all elements with data-series.
  const toggled = (name) => {
    const button = document.querySelector(`.legend button[data-name="${CSS.escape(name)}"]`);
    return { "data-series": name, class: button?.ariaPressed === "false" ? "off" : "" };
  };
  const picked = { dataset: 0, bits: 0, query: 0 };

  /** Return a thumbnail as a canvas; small images are enlarged by a whole factor. */
  function thumbnail(sprite, position, side, label) {
    const { width, height, across, down } = sprite.dataset;
    const factor = Math.max(1, Math.floor(side / Math.max(width, height)));
    const canvas = make("canvas", { width: width * factor, height: height * factor, role: "img", "aria-label": label });
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const perRow = sprite.naturalWidth / across;
    context.drawImage(sprite, (position % perRow) * across, Math.floor(position / perRow) * down, width, height, 0, 0, canvas.width, canvas.height);
    return canvas;
  }
  const picture = (sprite, position, side, label) => (sprite ? [thumbnail(sprite, position, side, label)] : []);

  function queries({ queries: shown, images, sprite }) {
    section.querySelector(".queries").replaceChildren(
      ...shown.map((position, at) => {
        const name = `Query: image ${images[position]}`;
        const button = make("button", { type: "button", "aria-pressed": at === picked.query, "aria-label": name, title: name }, ...picture(sprite, position, 40, ""));
        if (!sprite) button.append(images[position]);
        button.firstElementChild?.setAttribute("aria-hidden", "true");
        button.addEventListener("click", () => pick({ query: at }));
        return button;
      }),
    );
  }

  function item(data, at, { images, sprite }) {
    const position = data.items[picked.query][at];
    const right = data.relevant[picked.query][at] === 1;
    const distance = data.distances[picked.query][at];
    const words = `image ${images[position]}, ${right ? "relevant" : "not relevant"}, distance ${distance}`;
    const mark = make("span", { class: `mark ${right ? "right" : "wrong"}` }, right ? "✓" : "✗", make("small", {}, ` ${distance}`));
    return make("td", { class: `item${right ? " right" : ""}`, title: words }, ...picture(sprite, position, 64, words), mark);
  }

  function retrieved(shown) {
    const { methods, images, sprite } = shown;
    const query = shown.queries[picked.query];
    const ranks = Array.from({ length: 10 }, (_, at) => make("th", { scope: "col" }, String(at + 1)));
    const head = make("tr", {}, make("td", { class: "query" }, ...picture(sprite, query, 64, `Query, image ${images[query]}`)), ...ranks, make("th", { scope: "col" }, "same distance, not shown"));
    const rows = methods.map(({ name, label, lengths }) => {
      const data = lengths[picked.bits];
      if (!data) return make("tr", toggled(name), make("th", { scope: "row" }, label), make("td", { colspan: 11 }, "no run with this code length is done"));
      const right = data.relevant[picked.query].reduce((sum, one) => sum + one, 0);
      const items = data.items[picked.query].map((_, at) => item(data, at, shown));
      const tied = data.tied[picked.query];
      const heading = make("th", { scope: "row" }, label, make("small", {}, `${right} of ${items.length}`));
      return make("tr", toggled(name), heading, ...items, make("td", {}, tied ? `+ ${tied.toLocaleString("en")}` : ""));
    });
    section.querySelector(".retrieved").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
    section.querySelector(".status").textContent = `Query: image ${images[query]} (${picked.query + 1} of ${shown.queries.length}), ${picked.bits} bits.`;
  }

  /** Return shares, one per distance, as a filled path of steps in a box of 100 by 60. */
  const steps = (shares, most) =>
    `M0 60${shares.map((share, at) => `V${(60 - (54 * share) / most).toFixed(2)}H${((100 * (at + 1)) / shares.length).toFixed(2)}`).join("")}V60Z`;

  function distances({ pairs: [relevant, others] }, label) {
    const most = Math.max(...relevant, ...others);
    const svg = make("svg", { viewBox: "0 0 100 60", preserveAspectRatio: "none", height: 84, role: "img", "aria-label": `${label}: distances of relevant and other pairs` });
    svg.append(make("path", { class: "others", d: steps(others, most) }), make("path", { class: "relevant", d: steps(relevant, most) }), make("line", { x1: 0, x2: 100, y1: 60, y2: 60 }));
    others.forEach((share, at) => {
      const hit = make("rect", { x: (100 * at) / others.length, y: 0, width: 100 / others.length, height: 60, fill: "transparent" });
      hit.append(make("title", {}, `distance ${at}: ${(100 * relevant[at]).toFixed(1)} % of relevant pairs, ${(100 * share).toFixed(1)} % of other pairs`));
      svg.append(hit);
    });
    return svg;
  }

  function balance({ ones }, label) {
    const wide = 100 / ones.length;
    const svg = make("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", height: 46, role: "img", "aria-label": `${label}: share of items with each bit on` });
    ones.forEach((share, at) => {
      const bar = make("rect", { class: "one", x: at * wide + wide * 0.1, width: wide * 0.8, y: 40 - 0.4 * share, height: 0.4 * share });
      bar.append(make("title", {}, `bit ${at + 1}: on in ${share} %`));
      svg.append(bar);
    });
    svg.append(make("line", { class: "half", x1: 0, x2: 100, y1: 20, y2: 20 }), make("line", { x1: 0, x2: 100, y1: 40, y2: 40 }));
    return svg;
  }

  const charted = (chart, words) => make("div", {}, chart, make("small", {}, words));

  const POLES = { "-1": [178, 24, 43], 1: [33, 102, 172] };

  /** Return a square for every two bits, from red (-1) over white to blue (+1); the diagonal is grey. */
  function correlation({ side, correlation: text }, label) {
    const values = Int8Array.from(atob(text), (letter) => letter.charCodeAt(0)); // above the diagonal, row by row
    const canvas = make("canvas", { width: side, height: side, role: "img", "aria-label": `${label}: correlation of every two bits` });
    const pixels = new ImageData(side, side);
    const paint = (row, column, colour) => pixels.data.set([...colour, 255], 4 * (row * side + column));
    for (let row = 0, at = 0; row < side; row++) {
      paint(row, row, [200, 200, 200]);
      for (let column = row + 1; column < side; column++, at++) {
        const pole = POLES[values[at] < 0 ? -1 : 1];
        const colour = pole.map((channel) => 247 + ((channel - 247) * Math.abs(values[at])) / 100);
        paint(row, column, colour);
        paint(column, row, colour);
      }
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  }

  function cards({ methods }) {
    document.querySelector(".code-cards").replaceChildren(
      ...methods.flatMap(({ name, label, lengths }) => {
        const data = lengths[picked.bits];
        if (!data) return [];
        const away = data.ones.reduce((sum, share) => sum + Math.abs(share - 50), 0) / data.ones.length;
        const [mean, most] = data.correlated;
        const summary = `Bits are ${away.toFixed(1)} points from half on average; two of them correlate by ${mean.toFixed(2)} in magnitude on average, ${most.toFixed(2)} at most.`;
        return [make("li", toggled(name), make("h3", {}, label), charted(distances(data, label), `distance 0 to ${picked.bits}`), correlation(data, label), charted(balance(data, label), `bits 1 to ${picked.bits}`), make("p", {}, summary))];
      }),
    );
  }

  function lengthsOf(dataset) {
    const { bits } = galleries[dataset];
    for (const select of picks("bits")) select.replaceChildren(...bits.map((length) => make("option", { value: length }, `${length} bits`)));
    picked.bits = bits.includes(picked.bits) ? picked.bits : (bits.find((length) => length >= 32) ?? bits.at(-1));
  }

  function pick(changed) {
    Object.assign(picked, changed);
    if ("dataset" in changed) {
      lengthsOf(picked.dataset);
      picked.query = 0;
    }
    const shown = galleries[picked.dataset];
    for (const what of ["dataset", "bits"]) for (const select of picks(what)) select.value = picked[what];
    queries(shown);
    retrieved(shown);
    if (!("query" in changed)) cards(shown);
  }

  for (const what of ["dataset", "bits"]) {
    for (const select of picks(what)) select.addEventListener("change", () => pick({ [what]: Number(select.value) }));
  }
  section.querySelector(".random").addEventListener("click", () => {
    const { queries: shown } = galleries[picked.dataset];
    pick({ query: (picked.query + 1 + Math.floor(Math.random() * Math.max(1, shown.length - 1))) % shown.length });
  });
  Promise.all(galleries.map(({ sprite }) => sprite?.decode())).then(() => pick({ dataset: 0 }));
}
