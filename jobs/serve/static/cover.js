// The cover of one file: choose a picture, cut and shrink it, see what will be written, save it, take it back.
import { NO_ANSWER, ask, el, say, size } from "./common.js";
import { Cropper } from "./crop.js";

const MOST_UPLOAD = 64 << 20, PAUSE_MS = 250, LOOK_MS = 300;
const SAME = "The file has this cover already.";
const ORIGINS = { own: "in this file", copy: "in a copy", folder: "in the folder", upload: "uploaded" };

const find = (selector) => document.querySelector(selector);
const address = find("#cover").dataset.address, form = find("#edit"), fields = form.elements;
const save = find("#save"), undo = find("#undo"), outcome = find("#outcome"), after = find("#after"), before = find("#before");
const cropper = new Cropper(find("#stage"), "how", () => { tellPart(); later(); });
let now = null, chosen = null, made = null, number = null;
let visit = 0, timer = 0, isWriting = false;

// ---- pictures to choose from ----

/** Lists the pictures, and chooses one: that with this id, the one chosen before, or the first. */
async function list(wanted) {
  const found = await ask(address);
  now = found.now;
  before.hidden = !now;
  if (now) {
    const isListed = found.pictures.some((each) => each.id === now.id);
    before.querySelector("img").hidden = !isListed;
    if (isListed) before.querySelector("img").src = `${address}/pictures/${now.id}/large`;
    before.querySelector("span").textContent = now.text;
  }
  find("#pictures").replaceChildren(...found.pictures.map(choiceOf));
  find("#none").hidden = found.pictures.length > 0;
  const pick = [wanted, chosen?.id, found.pictures[0]?.id].find((id) => found.pictures.some((each) => each.id === id));
  if (!pick) { form.hidden = true; return; }
  find(`#picture-${pick}`).checked = true;
  if (pick !== chosen?.id) await choose(pick); else later();
}

function choiceOf(picture) {
  const pixels = picture.width ? `${picture.width} × ${picture.height}` : "unknown size";
  const radio = el("input", { type: "radio", name: "picture", id: `picture-${picture.id}`, onchange: () => choose(picture.id) });
  const image = el("img", { alt: "", loading: "lazy", src: `${address}/pictures/${picture.id}/small` });
  image.addEventListener("error", () => image.classList.add("broken"));
  const lines = [el("b", {}, ORIGINS[picture.origin], picture.id === now?.id ? " · now" : ""), el("bdi", {}, picture.what)];
  if (picture.holder) lines.push(el("bdi", { className: "quiet" }, picture.holder));
  lines.push(el("span", { className: "quiet" }, `${picture.format}\u00a0${pixels.replaceAll(" ", "\u00a0")}, ${size(picture.bytes).replace(" ", "\u00a0")}`));
  return el("label", { className: "picture" }, radio, image, el("span", { className: "facts" }, ...lines));
}

async function choose(id) {
  const mine = ++visit;
  show(null, "…");
  say("");
  let found;
  try {
    found = await ask(`${address}/pictures/${id}`);
  } catch (error) {
    if (mine === visit) { form.hidden = true; chosen = null; }
    throw error;
  }
  if (mine !== visit) return;
  chosen = { id, ...found };
  form.hidden = false;
  cropper.show(`${address}/pictures/${id}/large`, { width: found.width, height: found.height });
  tellPart();
  later(0);
}

find("#upload").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  event.target.value = "";
  if (file.size > MOST_UPLOAD) { say(`${file.name} has ${size(file.size)}; at most 64 MiB can be uploaded.`, true); return; }
  say(`Uploading ${file.name} …`);
  let answer;
  try {
    answer = await fetch("/api/uploads", { method: "POST", headers: { "Content-Type": file.type || "application/octet-stream" }, body: file });
  } catch (error) {
    say("The upload failed. Is the file still there, and `reprise serve` still running?", true);
    throw error;
  }
  const found = await answer.json();
  if (!answer.ok) { say(found.error, true); return; }
  say(`${file.name} is uploaded.`);
  await list(found.id);
});

// ---- what is done to it ----

/** Shows the part in the fields. */
function tellPart() {
  const { part, whole } = cropper;
  for (const [name, value] of Object.entries(part)) fields[name].value = value;
  fields.left.max = whole.width - 1;
  fields.top.max = whole.height - 1;
  fields.width.max = whole.width;
  fields.height.max = whole.height;
}

function edit() {
  const { part, whole } = cropper, n = (name) => Number(fields[name].value);
  const isWhole = part.width === whole.width && part.height === whole.height;
  const sizing = fields.sizing.value;
  return {
    picture: chosen.id,
    crop: isWhole ? null : [part.left, part.top, part.width, part.height],
    square: fields.square.checked,
    trim: fields.trim.checked,
    size: sizing === "size" ? [n("across"), n("down")] : null,
    fit: sizing === "fit" ? [n("least"), n("most")] : null,
    quality: fields.quality.value ? n("quality") : null,
  };
}

form.addEventListener("change", (event) => {
  const { name } = event.target;
  if (["left", "top", "width", "height"].includes(name)) {
    const part = Object.fromEntries(["left", "top", "width", "height"].map((each) => [each, Number(fields[each].value)]));
    if (fields.square.checked && name === "width") part.height = part.width;
    if (fields.square.checked && name === "height") part.width = part.height;
    cropper.set(part);
    tellPart();
  }
  if (name === "square") { cropper.square(fields.square.checked); tellPart(); }
  if (name === "across" || name === "down") fields.sizing.value = "size";
  if (name === "least" || name === "most") fields.sizing.value = "fit";
  later(0);
});
find("#whole").addEventListener("click", () => { cropper.reset(); tellPart(); later(0); });

// ---- what will be written ----

/** Makes the cover again as soon as nothing changes for a moment. */
function later(pause = PAUSE_MS) {
  visit += 1;
  save.disabled = true;
  clearTimeout(timer);
  timer = setTimeout(make, pause);
}

async function make() {
  const mine = ++visit;
  after.classList.add("stale");
  let answer, found;
  try {
    answer = await fetch(`${address}/made`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(edit()),
    });
    found = await answer.json();
  } catch {
    found = { error: NO_ANSWER };
  }
  if (mine !== visit) return;
  if (!answer?.ok) { show(null, found.error, true); return; }
  cropper.mark(found.source.box);
  show(found, [found.text, found.from && `from ${found.from}`].filter(Boolean).join("; "));
}

/** Shows the cover that was made, or why there is none. */
function show(found, text, isError = false) {
  const image = after.querySelector("img"), words = after.querySelector("span");
  made = found;
  image.hidden = !found;
  if (found) image.src = `/api/covers/made/${found.id}`;
  words.textContent = text;
  words.classList.toggle("error", isError);
  after.classList.remove("stale");
  refresh();
}

function refresh() {
  const isSame = Boolean(made && now && made.id === now.id);
  save.disabled = !made || isSame || isWriting;
  undo.disabled = isWriting;
  undo.hidden = !number;
  if (isSame && !outcome.textContent) tell(SAME);
  if (!isSame && outcome.textContent === SAME) tell("");
}

// ---- saving, and taking back ----

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (made) carryOut(() => ask(`${address}/save`, { made: made.id }));
});
undo.addEventListener("click", () => carryOut(() => ask("/api/plan/undo", { number })));

/** Begins a run and follows it to its end. */
async function carryOut(begin) {
  isWriting = true;
  refresh();
  try {
    tell((await begin()).text);
    let found;
    do {
      await new Promise((done) => setTimeout(done, LOOK_MS));
      found = await ask("/api/covers/outcome");
    } while (found.running);
    number = found.number;
    tell(found.text, found.error);
  } catch (error) {
    tell(error.message, true);
  } finally {
    isWriting = false;
    refresh();
  }
  outcome.focus();
  await list();
}

function tell(text, isError = false) {
  outcome.textContent = text;
  outcome.classList.toggle("error", isError);
  outcome.classList.toggle("ok", !isError);
}

await list();
