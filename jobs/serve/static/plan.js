// The plan: confirm it by its count, watch it being carried out, take it back.
import { ask, el, say, size } from "./common.js";
import { Drawn, listen } from "./work.js";

const work = document.querySelector("#work"), drawn = new Drawn(work, false), form = document.querySelector("#apply");
let ran = null;
listen((record) => {
  work.hidden = !record.job;
  if (record.job) drawn.show(record);
  for (const button of document.querySelectorAll("button.undo, button.resume, #apply button, #rest")) {
    button.disabled = Boolean(record.job);
  }
  if (ran && !record.job) location.reload();
  ran = record.job;
});

if (document.querySelector("#outcome")) document.querySelector("#main").focus();

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const typed = form.elements.count.value.replace(/[\s,.']/g, "");
  if (typed !== form.dataset.count) {
    say(`Type ${form.dataset.count}, the number of files that go.`, true);
    form.elements.count.focus();
    return;
  }
  say((await ask("/api/plan/apply", { digest: form.dataset.digest, count: Number(typed) })).text);
  form.elements.count.value = "";
});

for (const button of document.querySelectorAll("button.undo")) {
  button.addEventListener("click", async () => {
    say((await ask("/api/plan/undo", { number: Number(button.dataset.number) })).text);
  });
}
for (const button of document.querySelectorAll("button.resume")) {
  button.addEventListener("click", async () => say((await ask("/api/plan/resume", {})).text));
}

const rest = document.querySelector("#rest"), preview = document.querySelector("#preview");
rest?.addEventListener("click", async () => {
  say("Looking at what the rules decide …");
  rest.disabled = true;
  try {
    const found = await ask("/api/plan/rest", { preview: true });
    if (!found.n_groups) { say("The rules are certain about none of these groups."); return; }
    say("");
    const add = el("button", { type: "button", className: "main" }, "Add them");
    const leave = el("button", { type: "button", onclick: () => { preview.hidden = true; rest.focus(); } }, "Leave them out");
    add.addEventListener("click", async () => {
      add.disabled = true;
      say((await ask("/api/plan/rest", {})).text);
      location.reload();
    });
    preview.replaceChildren(el("p", {}, `${found.text}, ${size(found.n_bytes)}. They join your decisions; nothing is touched yet.`),
      el("div", { className: "actions" }, add, leave));
    preview.hidden = false;
    add.focus();
  } finally {
    rest.disabled = false;
  }
});
