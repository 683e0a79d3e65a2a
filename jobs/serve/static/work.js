// What goes on now, live, on any page: a bar, counts, rate, time left, folder, failures and the last events.
import { NO_ANSWER, ask, clock, el, say, size } from "./common.js";

const NAMES = {
  full: "Scan and compare", scan: "Scan", correlate: "Comparison", apply: "Clean-up", undo: "Undo", cover: "Cover", compact: "Compaction",
};

const FINDS = ["full", "scan", "correlate", "demo"]; // runs that find duplicates

/** Listens to runs while the page is seen; calls `changed` with each record of /api/work. A browser has few connections to
 * one host, so a hidden page holds none. */
export function listen(changed) {
  let source = null, isLost = false;
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource("/api/work/events");
    source.addEventListener("message", (event) => {
      if (isLost) say("");
      isLost = false;
      changed(JSON.parse(event.data));
    });
    source.addEventListener("error", () => { // the browser tries again by itself
      isLost = true;
      say(NO_ANSWER, true);
    });
  };
  const close = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}

/** Draws a run into an element, in place, so that the focus stays where it is. */
export class Drawn {
  constructor(place, canBegin) {
    this.place = place;
    this.canBegin = canBegin;
    this.kind = "";
  }

  show(record) {
    const job = record.job, kind = job ? "job" : "idle";
    if (kind !== this.kind) {
      const hadFocus = this.place.contains(document.activeElement);
      this.kind = kind;
      this.place.replaceChildren(...(job ? this.#ofJob() : this.#ofNothing()));
      if (hadFocus) this.place.querySelector("button")?.focus();
    }
    if (job) this.#fillJob(job, record.found); else this.#fillNothing(record);
  }

  #ofJob() {
    this.title = el("b");
    this.stop = el("button", { type: "button", onclick: () => this.#stop() }, "Stop");
    this.bar = el("progress", { max: 1 });
    this.line = el("p", { className: "line" });
    this.folder = el("p", { className: "quiet folder" });
    this.trouble = el("p", { className: "error" });
    this.found = el("p");
    this.recent = el("ol", { className: "recent", "aria-label": "Recent events" });
    return [el("div", { className: "actions head" }, this.title, this.stop), this.bar, this.line, this.folder, this.trouble,
      this.found, this.recent];
  }

  #fillJob(job, found) {
    const name = NAMES[job.name] ?? job.name, where = job.where ? ` at ${job.where}` : "";
    const doing = { starting: "begins", running: "goes on", stopping: "finishes what is in flight" }[job.state];
    this.title.textContent = `${name} ${doing}${where}`;
    this.stop.disabled = job.state === "stopping" || job.can_stop === false;
    const stage = job.stage, problems = job.problems ?? {};
    this.bar.setAttribute("aria-label", stage ? stage.name : name);
    if (stage && stage.total) this.bar.value = Math.min(1, stage.done / stage.total); else this.bar.removeAttribute("value");
    this.line.textContent = stage ? stageText(stage) : job.state === "starting" ? "Starting …" : "Between two stages …";
    this.folder.textContent = job.folder ? job.folder.path : "";
    const told = ["failed", "damaged", "skipped"].filter((each) => problems[each]);
    this.trouble.textContent = told.map((each) => `${problems[each].toLocaleString("en")} ${each}`).join(", ");
    this.found.textContent = found && FINDS.includes(job.name) ? foundText(found) : "";
    this.recent.replaceChildren(...(job.recent ?? []).slice(-6).reverse().map((each) => el("li", {}, each.text)));
  }

  #ofNothing() {
    this.line = el("p");
    const parts = [this.line];
    if (this.canBegin) {
      parts.push(el("div", { className: "actions" },
        el("button", { type: "button", className: "main", onclick: () => this.#begin() }, "Scan and compare"),
        el("span", { className: "quiet" }, "looks for new and changed files, and compares what is new")));
    }
    return parts;
  }

  #fillNothing(record) {
    const ended = record.ended;
    this.line.className = ended?.error ? "error" : "";
    this.line.textContent = !ended ? "Nothing runs." : `${NAMES[ended.name] ?? ended.name} ${endedText(ended)}`;
  }

  async #begin() { say((await ask("/api/work/full", {})).text); }

  async #stop() {
    this.stop.disabled = true;
    say((await ask("/api/work/stop", {})).text);
  }
}

function endedText(ended) {
  if (ended.error) return `was not done: ${ended.error}`;
  return ended.stopped ? "was stopped; what was done is kept." : "is done.";
}

function stageText(stage) {
  const n = (value) => value.toLocaleString("en");
  const parts = [`${stage.name}: ${n(stage.done)}${stage.total ? ` of ${n(stage.total)}` : ""} ${stage.unit}`];
  if (stage.rate) parts.push(`${stage.rate >= 100 ? n(Math.round(stage.rate)) : stage.rate}/s`);
  if (stage.left_s !== null) parts.push(`${clock(Math.round(stage.left_s))} left`);
  return parts.join(", ");
}

function foundText(found) {
  const copies = found.copies === 1 ? "1 duplicate" : `${found.copies.toLocaleString("en")} duplicates`;
  return `${copies} so far, ${size(found.bytes)} reclaimable`;
}
