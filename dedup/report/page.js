"use strict";
// Filters and sorts the groups; without this script the page shows them all. The address keeps the choice, so that it
// can be bookmarked and sent: #q=words&verdict=contained&sort=score
(() => {
  const form = document.querySelector("form");
  const main = document.querySelector("main");
  const shown = form.querySelector("output");
  const { q, verdict, sort } = form.elements;
  const groups = [...main.children].map((element) => ({
    element,
    bytes: Number(element.dataset.bytes),
    score: Number(element.dataset.score),
    verdicts: element.dataset.verdicts.split("|"),
    text: null,
  }));
  const orders = {
    bytes: (a, b) => b.bytes - a.bytes,
    score: (a, b) => a.score - b.score,
    files: (a, b) => b.verdicts.length - a.verdicts.length,
  };
  let sorted = "bytes"; // as the page was written

  const sizeText = (bytes) => {
    const unit = bytes < 999.5 ? 0 : bytes < 999.5e3 ? 1 : bytes < 999.5e6 ? 2 : bytes < 999.5e9 ? 3 : 4;
    return `${Number((bytes / 1000 ** unit).toPrecision(3))} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
  };

  const textOf = (group) => {
    group.text ??= [...group.element.querySelectorAll(".name a, .tags")].map((cell) => cell.textContent).join("\n").toLowerCase();
    return group.text;
  };

  const show = () => {
    const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    let bytes = 0;
    for (const group of groups) {
      const fits = (!verdict.value || group.verdicts.includes(verdict.value))
        && words.every((word) => textOf(group).includes(word));
      group.element.hidden = !fits;
      count += fits ? 1 : 0;
      bytes += fits ? group.bytes : 0;
    }
    if (sort.value !== sorted) {
      sorted = sort.value;
      main.append(...[...groups].sort(orders[sorted]).map((group) => group.element));
    }
    shown.value = `${count.toLocaleString("en")} of ${groups.length.toLocaleString("en")} groups, ${sizeText(bytes)} reclaimable`;
  };

  const choose = () => {
    const chosen = new URLSearchParams(location.hash.slice(1));
    q.value = chosen.get("q") ?? "";
    verdict.value = chosen.get("verdict") ?? "";
    sort.value = chosen.get("sort") ?? "bytes";
    if (verdict.selectedIndex < 0) verdict.value = "";
    if (sort.selectedIndex < 0) sort.value = "bytes";
    show();
  };

  const keep = () => {
    const chosen = new URLSearchParams();
    if (q.value) chosen.set("q", q.value);
    if (verdict.value) chosen.set("verdict", verdict.value);
    if (sort.value !== "bytes") chosen.set("sort", sort.value);
    history.replaceState(null, "", `#${chosen}`);
    show();
  };

  for (const name of [...new Set(groups.flatMap((group) => group.verdicts))].sort()) {
    verdict.append(new Option(name, name));
  }
  form.addEventListener("input", keep);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.fold.addEventListener("click", () => {
    const folds = groups.filter((group) => !group.element.hidden).map((group) => group.element.firstElementChild);
    const open = !folds.every((fold) => fold.open);
    for (const fold of folds) fold.open = open;
  });
  window.addEventListener("hashchange", choose);
  form.hidden = false;
  choose();
})();
