"use strict";

// Tables: a click on a column's head sorts by it; cells carry `data-sort` where their text does not sort.
for (const head of document.querySelectorAll("table.sortable th")) {
  head.querySelector("button").addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    const key = (row) => {
      const cell = row.cells[column];
      const text = cell.dataset.sort ?? cell.textContent.trim();
      const number = Number(text);
      return text === "" || Number.isNaN(number) ? text : number;
    };
    const compare = (a, b) => {
      if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1; // what is not known comes last
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return down ? -order : order;
    };
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort((a, b) => compare(a[0], b[0]));
    body.append(...rows.map(([, row]) => row));
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  });
}

// Slices: the legend hides every line with that value, in all panels; hovering brings one line forward.
for (const plot of document.querySelectorAll(".slices .js-plotly-plot")) {
  const hidden = new Set();
  const lines = plot.data.flatMap((trace, i) => (trace.meta?.fixed ? [i] : []));
  const name = ([axis, value]) => JSON.stringify([axis, value]);
  plot.on("plotly_legendclick", (event) => {
    const entry = event.data[event.curveNumber]?.meta?.entry; // a group's title has no curve, the mean no entry
    if (!entry) return false;
    const clicked = name(entry);
    if (!hidden.delete(clicked)) hidden.add(clicked);
    const visible = plot.data.map((trace) => {
      if (trace.meta?.entry) return hidden.has(name(trace.meta.entry)) ? "legendonly" : true;
      if (trace.meta?.fixed) return !Object.entries(trace.meta.fixed).some((pair) => hidden.has(name(pair)));
      return true;
    });
    Plotly.restyle(plot, { visible });
    return false;
  });
  plot.on("plotly_legenddoubleclick", () => false);
  const fade = (like) =>
    Plotly.restyle(plot, { opacity: lines.map((i) => like === null ? 0.6 : JSON.stringify(plot.data[i].meta.fixed) === like ? 1 : 0.12) }, lines);
  plot.on("plotly_hover", (event) => {
    const fixed = event.points[0].data.meta?.fixed;
    if (fixed) fade(JSON.stringify(fixed));
  });
  plot.on("plotly_unhover", () => fade(null));
}

// Choices: one body of several is shown; figures that were hidden take the width that there is.
for (const radio of document.querySelectorAll(".choices > fieldset input")) {
  radio.addEventListener("change", () => {
    for (const other of document.querySelectorAll(".choices > fieldset input")) {
      if (other.value === radio.value) other.checked = true;
    }
    for (const group of document.querySelectorAll(".choices")) {
      const bodies = [...group.children].filter((child) => child.classList.contains("choice"));
      if (!bodies.some((body) => body.dataset.choice === radio.value)) continue;
      for (const body of bodies) body.hidden = body.dataset.choice !== radio.value;
    }
    window.dispatchEvent(new Event("resize"));
  });
}
