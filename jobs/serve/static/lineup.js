// The page of one group or pair: files side by side on one musical axis, heard, seen, and answered about.
import { answer, undo } from "./answers.js";
import { Blind } from "./blind.js";
import { NO_ANSWER, ask, clock, el, say } from "./common.js";
import { Engine } from "./engine.js";
import { actOf, buttonsOf, helpOf } from "./keys.js";
import { Axis } from "./lanes.js";
import { Row } from "./row.js";
import { tagsTable } from "./tags.js";

const PAGES = { group: "/groups", pair: "/uncertain" };
const JUMP_S = 5, LOOP_S = 8;
/** Seconds before a place that differs at which it is heard. */
const LEAD_S = 0.5;
const DIFFERENCE = "difference:";

const root = document.querySelector("#lineup");
const engine = new Engine(() => refresh(), (lane, text) => say(text, true));
let shown = null;  // the lineup that is on the page: record, rows, order, axis, heard, places, values …
let visit = 0;  // counts lineups, so that answers about an earlier one are dropped

// ---- what a person does ----

const acts = {
  toggle() { if (engine.isPlaying) engine.pause(); else engine.play(); },
  back() { engine.seek(engine.position - JUMP_S); },
  forward() { engine.seek(engine.position + JUMP_S); },
  differedBefore() { goTo(places().filter((at) => at < engine.position - 1).at(-1)); },
  differsNext() { goTo(places().find((at) => at > engine.position + 0.1)); },
  loop() {
    if (engine.loop) { engine.repeat(null); return; }
    const { begin, end } = shown.axis, start = Math.max(begin, Math.min(engine.position - LOOP_S / 2, end - LOOP_S));
    engine.repeat([start, Math.min(start + LOOP_S, end)]);
  },
  difference() { if (engine.target.startsWith(DIFFERENCE)) hear(shown.heard); else hearDifference(); },
  match() { engine.match(!engine.matches); },
  blind() { if (shown.blind) endBlind(); else beginBlind(); },
  keep() { if (shown.blind) chooseBlind(); else give("keep"); },
  same() { give("same"); },
  different() { give("different"); },
  keepAll() { give("keep all"); },
  async undo() {
    const done = await undo();
    if (done.id) await open(done.kind, done.id, true, done.text); else say(done.text);
  },
  previous() { turn(shown.record.previous, "This is the first one."); },
  next() { turn(shown.record.next, "This is the last one."); },
  help() { if (shown.help.open) shown.help.close(); else shown.help.showModal(); },
};

document.addEventListener("keydown", (event) => {
  if (!shown || (shown.help.open && event.key !== "?")) return;
  const found = actOf(event, shown.record.kind);
  if (!found) return;
  event.preventDefault();
  if (found[0] !== "hear") acts[found[0]]();
  else if (shown.order[found[1]]) pick(shown.order[found[1]]);
});
addEventListener("popstate", () => {
  const [, page, id] = location.pathname.split("/");
  const kind = Object.keys(PAGES).find((each) => PAGES[each] === `/${page}`);
  if (kind) open(kind, id, false);
});
addEventListener("resize", () => redraw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());

/** Hears a file, and starts if nothing sounds. */
function pick(row) {
  hear(row.file.id);
  if (!engine.isPlaying) engine.play();
}

function hear(id) {
  shown.heard = id;
  engine.hear(id);
  redraw();
}

function goTo(at) {
  if (at === undefined) say("There is no such place."); else engine.seek(at);
}

let lastSeek = 0;
function sought(row, share, isFirst) {
  if (!isFirst && performance.now() - lastSeek < 60) return;
  lastSeek = performance.now();
  engine.seek(shown.axis.seconds(share, 1));
  if (isFirst) pick(row);
}

/** Plays what only one has of the file that is heard and the first one. */
function hearDifference() {
  const { rows } = shown;
  if (shown.blind) { say("End the blind test first."); return; }
  const row = shown.heard === rows[0].file.id ? rows[1] : rows.find((each) => each.file.id === shown.heard);
  if (!row.lane.residual) {
    say(row.difficulty || "The difference is still being worked out. Try again in a moment.");
    return;
  }
  const lane = DIFFERENCE + row.file.id;
  engine.lanes = [...rows.map((each) => each.file.id), lane];
  engine.setGain(lane, rows[0].lane.gain_db);
  shown.heard = row.file.id;
  engine.hear(lane);
  if (!engine.isPlaying) engine.play();
  redraw();
}

/** Seconds of the axis a little before each place where the heard file and the first differ; of all files if it is the
 * first that is heard. */
function places() {
  const { rows } = shown, isFirst = shown.heard === rows[0].file.id;
  const found = rows.slice(1).filter((row) => isFirst || row.file.id === shown.heard).flatMap((row) => row.places());
  return [...new Set(found.map((at) => Math.max(shown.axis.begin, at - LEAD_S)))].sort((a, b) => a - b);
}

// ---- answers ----

async function give(word) {
  if (shown.blind) { say("End the blind test first."); return; }
  const { record, heard, values } = shown;
  const letsGo = Boolean(root.querySelector("#lets-go")?.checked);
  const done = await answer(record.kind, record.id, word, { state: record.state, files: record.files, heard, values, letsGo });
  if (!done) return;
  if (done.next) await open(record.kind, done.next, true, done.text); else say(done.text);
}

function turn(id, otherwise) {
  if (id) open(shown.record.kind, id, true); else say(otherwise);
}

// ---- the blind test ----

function beginBlind() {
  shown.blind = new Blind(shown.rows);
  arrange(shown.blind.order);
  say("Hear the sounds by their numbers, and choose the one that sounds best with K. X ends the test.");
  hear(shown.order[0].file.id);
}

function chooseBlind() {
  shown.blind.choose(shown.rows.find((row) => row.file.id === shown.heard));
  arrange(shown.blind.order);
  say(`${shown.blind.n} chosen. The order has changed. X ends the test.`);
  hear(shown.order[0].file.id);
}

function endBlind() {
  const text = shown.blind.result((row) => `${shown.rows.indexOf(row) + 1} ${row.file.codec.toUpperCase()} (${row.file.name})`);
  shown.blind = null;
  arrange(shown.rows);
  say(text);
  hear(shown.heard);
}

/** Puts the rows in an order, with numbers, and with names unless a blind test runs. */
function arrange(rows) {
  shown.order = rows;
  rows.forEach((row, i) => row.label(i, Boolean(shown.blind)));
  shown.list.replaceChildren(...rows.map((row) => row.element));
  const isBlind = Boolean(shown.blind);
  shown.tags.hidden = shown.legend.hidden = isBlind;
  for (const act of ["difference", "same", "different", "keepAll"]) {
    const button = root.querySelector(`[data-act=${act}]`);
    if (button) button.disabled = isBlind;
  }
}

// ---- the page ----

/** Shows a lineup in place of the one before, with what came of the act that led to it. The sound goes on if there was
 * any. */
async function open(kind, id, isNew, text = "") {
  const mine = visit += 1, wasPlaying = engine.isPlaying;
  const base = `/api/lineups/${kind}/${id}`, record = await ask(base);
  if (mine !== visit) return;
  if (isNew) history.pushState(null, "", `${PAGES[kind]}/${id}`);
  document.title = `${record.title} · Reprise`;
  const rows = record.files.map((file) => new Row(file, base, pick, sought));
  rows[0].lane.only = record.files.flatMap((file) => file.only_kept ?? []);
  for (const row of rows.slice(1)) row.shareDifferences(rows[0]);
  shown = { record, rows, base, order: rows, axis: axisOf(rows), heard: rows[0].file.id, blind: null, values: {} };
  build();
  say(text);
  engine.load(rows.map((row) => row.file.id), shown.axis.begin, shown.axis.end, addressOf(base), mayAsk(rows));
  refresh();
  if (wasPlaying) engine.play();
  showTags(mine);
  follow(mine);  // takes until all is decoded: nothing waits for it
}

function axisOf(rows) {
  const on = ({ lane }, seconds) => (seconds - lane.offset_s) / (1 + lane.rate);
  return new Axis(Math.min(...rows.map((row) => on(row, 0))), Math.max(...rows.map((row) => on(row, row.lane.length_s))));
}

const addressOf = (base) => (lane, start, length) => {
  const isDifference = lane.startsWith(DIFFERENCE);
  const track = isDifference ? lane.slice(DIFFERENCE.length) : lane;
  return `${base}/${track}/${isDifference ? "difference" : "window"}?form=pcm&start=${start}&length=${length}`;
};

/** Whether a stretch of a lane is decoded, so that asking for it blocks nothing. */
const mayAsk = (rows) => (name, start, end) => {
  const lane = rows.find((row) => row.file.id === name)?.lane;
  return !lane || lane.is_whole || lane.offset_s + end * (1 + lane.rate) + 0.1 < lane.ready_s;
};

function build() {
  const { record, rows } = shown, { kind } = record;
  const bar = (row, label) => el("div", { className: `bar ${row}`, role: "group", "aria-label": label }, ...buttonsOf(row, kind, acts));
  shown.list = el("ol", { className: "lanes", "aria-label": "Files" });
  shown.tags = el("section", { "aria-label": "Tags" });
  shown.help = helpOf(kind);
  shown.position = el("input", { type: "range", min: shown.axis.begin, max: shown.axis.end, step: 0.01, "aria-label": "Position" });
  shown.position.addEventListener("input", () => engine.seek(Number(shown.position.value)));
  shown.time = el("output", { className: "time" });
  shown.hearing = el("p", { className: "hearing", role: "status", "aria-live": "polite" });
  const status = document.querySelector("#status");
  shown.bars = el("div", { className: "bars" }, status, shown.hearing, bar("sound", "Sound"), bar("answers", "Answers"));
  if (kind === "group" && record.files.some((file) => file.action === "leave" || file.lost.length)) {
    shown.bars.append(el("label", { className: "line" }, el("input", { type: "checkbox", id: "lets-go" }),
      "Let files go even with what only they have"));
  }
  shown.legend = el("p", { className: "quiet legend" },
    el("span", { className: "match" }, "how well it matches the first file"), " ",
    el("span", { className: "residual" }, "what only one of the two has (above the line: this one)"), " ",
    el("span", { className: "hatch" }, "only in this file"));
  const said = { keep: "You decided about this group.", "keep all": "You keep all files.", skip: "You skipped this group." };
  root.replaceChildren(
    el("div", { className: "head" }, el("h1", {}, el("bdi", {}, record.title)),
      el("span", { className: "quiet" }, `${record.at} of ${record.of}`), bar("ways", "Lists")),
    el("p", { className: "quiet" }, [said[record.said], record.note].filter(Boolean).join(" ")),
    shown.list,
    el("div", { className: "seek" }, shown.position, shown.time),
    shown.legend, shown.bars, shown.tags, shown.help);
  arrange(rows);
}

async function showTags(mine) {
  const { rows } = await look(mine, `${shown.base}/tags`) ?? {};
  if (!rows) return;
  const { files } = shown.record, names = files.map((file, i) => `${i + 1} ${file.codec.toUpperCase()}`);
  const kept = shown.record.kind === "group" ? files.findIndex((file) => file.action === "keep") : -1;
  shown.tags.replaceChildren(el("h2", {}, "Tags"), tagsTable(rows, names, kept, shown.values));
  const { gets } = shown.record;
  if (gets.length) shown.tags.append(el("h3", {}, "Carried over, and what contradicts it"), el("ul", {}, ...gets.map((line) => el("li", {}, line))));
}

/** What the API says, or nothing if another lineup is on the page by then, or if it refuses. */
async function look(mine, address) {
  let found;
  try {
    const answer = await fetch(address);
    found = await answer.json();
  } catch {
    found = { error: NO_ANSWER };
  }
  if (mine !== visit) return null;
  if (!found.error) return found;
  say(found.error, true);
  return null;
}

/** Follows how far the files are decoded and draws them; then what differs. */
async function follow(mine) {
  const { base, rows } = shown, drawn = new Map();
  for (let isWhole = false; !isWhole;) {
    const { tracks } = await look(mine, `${base}/sounds`) ?? {};
    if (!tracks) return;
    isWhole = tracks.every((state) => state.is_whole || state.problem);
    for (const [i, state] of tracks.entries()) {
      take(rows[i], state);
      const now = state.is_whole ? -1 : Math.floor(state.ready_s / 60);
      if (drawn.get(i) === now || !state.ready_s) continue;
      drawn.set(i, now);
      const found = await look(mine, `${base}/${state.id}/sound?steps=1500`);
      if (!found) return;
      take(rows[i], found);
    }
    redraw();
    if (!isWhole) await pause(300);
  }
  const { kind, next } = shown.record;
  if (next) fetch(`/api/lineups/${kind}/${next}/sounds`).catch(() => null);  // so that it sounds at once when it comes
  for (const row of rows.slice(1)) if (mine === visit) await followDifference(mine, row);
}

async function followDifference(mine, row) {
  for (;;) {
    const found = await look(mine, `${shown.base}/${row.file.id}/residual`);
    if (!found) return;
    if (found.problem) { row.difficulty = `There is no difference to hear: ${found.problem}.`; return; }
    if (found.is_ready) {
      take(row, { offset_s: found.offset_s, rate: found.rate });
      if (found.n_places > 1) engine.forget(row.file.id);  // after a cut it lies elsewhere
      row.lane.residual = found;
      redraw();
      return;
    }
    await pause(500);
  }
}

function take(row, state) {
  const hasMoved = row.update(state);
  if (state.gain_db !== undefined) engine.setGain(row.file.id, state.gain_db);
  if (hasMoved) engine.forget(row.file.id);
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

// ---- what is seen ----

function redraw() {
  if (!shown) return;
  for (const row of shown.rows) {
    row.showGain(engine.matches);
    row.draw(shown.axis, row.file.id === shown.heard);
  }
}

/** Shows what the engine does. */
function refresh() {
  if (!shown) return;
  const button = (act) => root.querySelector(`[data-act=${act}]`);
  const isDifference = engine.target.startsWith(DIFFERENCE);
  button("toggle").firstChild.textContent = engine.isPlaying ? "Pause" : "Play";
  const states = { loop: Boolean(engine.loop), difference: isDifference, match: engine.matches, blind: Boolean(shown.blind) };
  for (const [act, isOn] of Object.entries(states)) button(act).setAttribute("aria-pressed", String(isOn));
  const row = shown.rows.find((each) => each.file.id === shown.heard), number = shown.order.indexOf(row) + 1;
  const what = isDifference ? `the difference of ${number} from 1` : `${number}: ${row.title}`;
  const waits = engine.isWaiting ? " (loading)" : "";
  const text = engine.isPlaying ? `You hear ${what}${waits}` : `Paused at ${what}`;
  if (shown.hearing.textContent !== text) shown.hearing.textContent = text;
  for (const each of shown.rows) each.showGain(engine.matches);
}

function animate() {
  if (shown) {
    const at = engine.position;
    for (const row of shown.rows) row.moveTo(shown.axis, at);
    shown.time.textContent = `${clock(at, 1)} / ${clock(shown.axis.end, 1)}`;
    if (document.activeElement !== shown.position || engine.isPlaying) shown.position.value = at;
    shown.position.setAttribute("aria-valuetext", clock(at));
  }
  requestAnimationFrame(animate);
}

window.reprise = { heard: () => engine.heard(), bytes: () => engine.bytes };
animate();
open(root.dataset.kind, root.dataset.id, false);
