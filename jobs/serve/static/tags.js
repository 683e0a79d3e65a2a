// The table of tags: the fields on which the files differ, and which value the kept file gets.
import { el } from "./common.js";

const shown = (values) => (values.length ? values.join("; ") : "–");

/** The table; `taken` are the values that a person took, by field, which it changes; `kept` is the index of the kept
 * file, or -1. */
export function tagsTable(rows, names, kept, taken) {
  if (!rows.length) return el("p", { className: "quiet" }, "The tags of all files agree.");
  const head = el("tr", {}, el("th", { scope: "col" }, "Field"), ...names.map((name) => el("th", { scope: "col" }, name)));
  if (kept >= 0) head.append(el("th", { scope: "col" }, "The kept file gets"));
  const body = rows.map((row) => tagRow(row, names, kept, taken));
  return el("div", { className: "scrolls", tabIndex: 0, role: "region", "aria-label": "Tags that differ" },
    el("table", { className: "tags" }, el("thead", {}, head), el("tbody", {}, ...body)));
}

function tagRow(row, names, kept, taken) {
  const gets = el("td", { className: "gets" }), buttons = [];
  const update = () => {
    const has = kept >= 0 ? row.values[kept] ?? [] : [];
    const values = taken[row.name] ?? (row.gets.length ? row.gets : has);
    gets.textContent = shown(values);
    gets.classList.toggle("changed", shown(values) !== shown(has));
    for (const [button, value] of buttons) {
      button.setAttribute("aria-pressed", String(shown(value) === shown(taken[row.name] ?? [])));
    }
  };
  const cells = row.values.map((value, i) => {
    if (value === null) return el("td", { className: "quiet" }, "cannot be read");
    if (!value.length || kept < 0) return el("td", {}, shown(value));
    const button = el("button", { type: "button", className: "value", title: `Take this ${row.name} from ${names[i]}` }, shown(value));
    button.addEventListener("click", () => {
      if (shown(taken[row.name] ?? []) === shown(value)) delete taken[row.name]; else taken[row.name] = value;
      update();
    });
    buttons.push([button, value]);
    return el("td", {}, button);
  });
  update();
  return el("tr", {}, el("th", { scope: "row" }, row.name), ...cells, ...(kept >= 0 ? [gets] : []));
}
