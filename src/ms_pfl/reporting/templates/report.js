// Tables that sort and are exported as they are shown, a filter of strategies, details that print.
(() => {
  const number = text => {
    const found = text.replace(/,/g, "").match(/[-+\u2212]?\d*\.?\d+/);
    return found ? parseFloat(found[0].replace("\u2212", "-")) : NaN;
  };
  const text = cell => cell.textContent.replace(/\u00a0/g, " ").trim();
  const compare = (a, b) => isNaN(number(a)) ? a.localeCompare(b) : number(a) - number(b);
  const sort = (table, head) => {
    const column = head.cellIndex, body = table.tBodies[0], first = head.cellIndex === 0;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map((row, i) => [text(row.cells[column]), i, row]);
    rows.sort(([a, i], [b, j]) => {
      if (first) return (down ? -1 : 1) * a.localeCompare(b) || i - j;
      const missing = isNaN(number(a)) - isNaN(number(b));  // last, whatever the direction
      return missing || (down ? -1 : 1) * compare(a, b) || i - j;
    });
    body.append(...rows.map(([, , row]) => row));
  };
  const exported = table => {
    const rows = [...table.rows].filter(row => !row.hidden);
    const quoted = cell => `"${text(cell).replace(/"/g, '""')}"`;
    return rows.map(row => [...row.cells].map(quoted).join(",")).join("\r\n") + "\r\n";
  };
  for (const table of document.querySelectorAll(".wide > table")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "export";
    button.textContent = "CSV of this table";
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(["\ufeff", exported(table)], {type: "text/csv"}));
      link.download = `${text(table.caption).replace(/[^\p{L}\p{N}]+/gu, "_")}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
    table.parentElement.after(button);
  }
  const filter = document.getElementById("strategy");
  const rows = [...document.querySelectorAll("tr[data-strategy]")];
  filter.closest("label").hidden = !rows.some(row => row.dataset.strategy);
  filter.addEventListener("change", () => {
    for (const row of rows) row.hidden = filter.value !== "" && !["", filter.value].includes(row.dataset.strategy);
  });
  const place = document.getElementById("site");
  const labelled = [...document.querySelectorAll("details[data-label]")];
  place.closest("label").hidden = !labelled.length;
  labelled.sort((a, b) => a.dataset.label.localeCompare(b.dataset.label));
  place.append(...labelled.map((one, i) => new Option(one.dataset.label, i)));
  place.addEventListener("change", () => {
    if (!place.value) return;
    labelled[place.value].open = true;
    labelled[place.value].scrollIntoView({block: "center"});
  });
  const folded = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => { opened = folded(); for (const one of opened) one.open = true; });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
  const contents = document.querySelector(".contents > details");
  if (contents && matchMedia("(max-width: 1099px)").matches) contents.open = false;
})();
