// The page of names: hear a file, and say which recording it is.
import { ask, clock, say } from "./common.js";
import { Engine } from "./engine.js";

const main = document.querySelector("#main"), toggle = document.querySelector("#toggle");
const position = document.querySelector("#position"), time = document.querySelector("#time");
let engine = null, heard = null;  // made when it is first asked for: a browser lets no page sound before a click
let isSaving = false;  // one answer after the other: a double click is one

main.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const file = button.closest("[data-file]");
  if (button.classList.contains("hear")) hear(file, Number(button.dataset.length));
  else if (button.dataset.word) saving(() => give(file, button.dataset.word, button.dataset.recording ?? ""));
});
document.querySelector("#undo").addEventListener("click", () => saving(async () => show(await ask("/api/names/undo", {}))));
toggle.addEventListener("click", () => { if (engine.isPlaying) engine.pause(); else engine.play(); });
position.addEventListener("input", () => engine.seek(Number(position.value)));

// ---- hearing ----

function hear(file, length) {
  const id = file.dataset.file;
  engine ??= new Engine(refresh, (lane, text) => say(text, true));
  if (heard === id) { toggle.click(); return; }
  heard = id;
  engine.load([id], 0, length, (lane, start, n) => `/api/names/${lane}/window?form=pcm&start=${start}&length=${n}`, () => true);
  document.querySelector("#playing").textContent = file.querySelector(".name").textContent;
  toggle.disabled = position.disabled = false;
  position.max = length;
  engine.play();
}

function refresh() {
  toggle.textContent = engine.isPlaying ? "Pause" : "Play";
  for (const button of main.querySelectorAll(".hear")) {
    const isHeard = engine.isPlaying && button.closest("[data-file]").dataset.file === heard;
    button.setAttribute("aria-pressed", String(isHeard));
    button.textContent = isHeard ? "❚❚" : "▶";
  }
}

function animate() {
  if (heard) {
    time.textContent = `${clock(engine.position)} / ${clock(Number(position.max))}`;
    if (document.activeElement !== position || engine.isPlaying) position.value = engine.position;
    position.setAttribute("aria-valuetext", clock(engine.position));
  }
  requestAnimationFrame(animate);
}
animate();

// ---- answers ----

async function saving(change) {
  if (isSaving) return;
  isSaving = true;
  try { await change(); } finally { isSaving = false; }
}

async function give(file, word, recording) {
  const { file: id, state } = file.dataset, { folder } = file.closest("[data-folder]").dataset;
  let next = following(file);
  try {
    await show(await ask(`/api/names/${id}/answer`, { word, recording, state }));
  } catch (error) {  // said already
    next = id;
    await renew([folder]);
  }
  (main.querySelector(`[data-file="${next}"] [data-word]`) ?? main.querySelector(`[data-file="${id}"] .hear`))?.focus();
}

/** The id of the next question on the page, for the keyboard. */
function following(file) {
  const all = [...main.querySelectorAll("[data-file]")];
  return all.slice(all.indexOf(file) + 1).find((each) => each.classList.contains("question"))?.dataset.file;
}

/** Shows what came of an answer. */
async function show(done) {
  await renew(done.folders);
  document.querySelector("h1").textContent = done.heading;
  say(done.text);
}

/** Shows folders as they are now, in place of those on the page. */
async function renew(folders) {
  const shown = (within, folder) => within.querySelector(`[data-folder="${folder}"]`);
  const there = folders.filter((folder) => shown(main, folder));
  if (there.length) {
    const answer = await fetch(`/names/${there.join(",")}`);
    const made = document.createElement("template");
    made.innerHTML = answer.ok ? await answer.text() : "";
    if (!there.every((folder) => shown(made.content, folder))) { location.reload(); return; }
    for (const folder of there) shown(main, folder).replaceWith(shown(made.content, folder));
  }
  if (engine) refresh();
}

window.reprise = { heard: () => engine.heard() };
