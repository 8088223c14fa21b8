// Tables that are sorted by a click on a head: numbers as numbers, what is undefined or empty last, either way round.
"use strict";

function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell ? cell.dataset.value ?? cell.textContent.trim() : "";
  const number = Number(text);
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === typeof b) return a.localeCompare(b, "en", { numeric: true });
  return typeof a === "number" ? -1 : 1;
}

function sortTable(table, column, descending) {
  const body = table.tBodies[0], sign = descending ? -1 : 1;
  const keyed = Array.from(body.rows, row => [valueOf(row, column), row]);
  keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b));
  body.append(...keyed.map(([, row]) => row));
  table.querySelectorAll("thead th").forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = head.querySelector("button");
    if (button) button.addEventListener("click", () => sortTable(table, column, head.getAttribute("aria-sort") === "ascending"));
  });
}
