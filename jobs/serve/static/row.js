// One file of the lineup: its number, what is known of it, and its drawing.
import { clock, el, size } from "./common.js";
import { draw } from "./lanes.js";

/** Share of the loudness that only one file has from which a place differs, if no null test says more. */
const DIFFERS_FROM = 0.25;

/** The technical facts of a file in one line. */
function technical(file) {
  const khz = file.sample_rate ? `${Number((file.sample_rate / 1000).toFixed(2))} kHz` : "";
  const channels = { 1: "mono", 2: "stereo" }[file.channels] ?? (file.channels ? `${file.channels} channels` : "");
  return [
    file.codec.toUpperCase(), file.bitrate ? `${Math.round(file.bitrate / 1000)} kbit/s` : "", khz,
    file.bits ? `${file.bits} bit` : "", channels, clock(file.duration_s, 1), size(file.size),
  ].filter(Boolean).join(" · ");
}

/** What the rules, or a person, decided about a file, and why. */
function decision(file) {
  const words = { keep: "kept", leave: "stays" }[file.action] ?? (file.action ? "goes" : "");
  return [words && [words, file.why || file.rule].filter(Boolean).join(": "), file.verdict,
    file.null_test ? `null test ${file.null_test}` : file.why.includes(file.unheard) ? "" : file.unheard,
    file.why.includes(file.listeners) ? "" : file.listeners].filter(Boolean).join(" · ");
}

/** In words, where a file lies on the axis, if not where the first one does. */
function placed(lane) {
  const percent = 100 * lane.rate / (1 + lane.rate);
  const speed = Math.abs(percent) >= 0.05 ? `plays ${Math.abs(percent).toFixed(1)} % ${percent > 0 ? "slower" : "faster"}` : "";
  const shift = Math.abs(lane.offset_s) >= 0.05
    ? `${Math.abs(lane.offset_s).toFixed(2)} s ${lane.offset_s > 0 ? "more" : "less"} in front` : "";
  return [shift, speed].filter(Boolean).join(", ");
}

export class Row {
  /** `picked(row)` is called when a person wants to hear it, `sought(row, x share, isFirst)` to go somewhere. */
  constructor(file, base, picked, sought) {
    this.file = file;
    this.lane = {
      offset_s: file.offset_s, rate: file.rate, length_s: file.duration_s, outline: null, step_s: 0, ready_s: 0,
      is_whole: false, gain_db: 0, alike: file.alike, residual: null, only: file.only, differs: [],
    };
    this.canvas = el("canvas", { role: "img" });
    this.playhead = el("i", { className: "playhead" });
    this.drawing = el("div", { className: "drawing" }, this.canvas, this.playhead);
    this.number = el("b", {});
    this.pick = el("button", { type: "button", className: "pick", onclick: () => picked(this) }, this.number);
    this.pick.addEventListener("mousedown", (event) => event.preventDefault());
    this.gain = el("span", { className: "quiet" });
    this.trouble = el("p", { className: "error" });
    this.about = el("div", { className: "about" }, ...this.facts(base));
    this.unnamed = el("div", { className: "about", hidden: true });
    this.element = el("li", { className: "lane" }, this.pick, this.about, this.unnamed, this.drawing);
    this.listen(sought);
  }

  facts(base) {
    const { file } = this, name = el("p", { className: "name" });
    if (file.action === "keep") name.append(el("span", { className: "badge" }, "KEEP"), " ");
    name.append(el("bdi", {}, file.name));
    const found = [name, el("p", {}, technical(file), " ", this.gain)];
    const said = decision(file);
    if (said) found.push(el("p", {}, said));
    this.shift = el("p", { className: "quiet" }, placed(this.lane));
    found.push(this.shift);
    const lost = file.lost.filter((what) => !said.includes(what));
    if (lost.length) found.push(el("p", { className: "told" }, `Only here: ${lost.join("; ")}`));
    const faults = [file.faults, file.is_there ? "" : "not there now"].filter(Boolean).join("; ");
    if (faults) found.push(el("p", { className: "error" }, faults));
    const address = `${base.replace("/api/lineups", "/cover")}/${file.id}`;
    found.push(el("p", {}, el("a", { href: address, "aria-label": `Cover of ${file.name}` }, "Cover")));
    found.push(this.trouble, el("p", { className: "quiet path" }, el("bdi", {}, file.folder)));
    const cover = el("img", { className: "cover", alt: "", hidden: true, src: `${base}/${file.id}/cover` });
    cover.addEventListener("load", () => { cover.hidden = false; });
    return [cover, el("div", {}, ...found)];
  }

  /** Takes clicks, drags and touches on the drawing. */
  listen(sought) {
    let isDown = false;
    const share = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return (event.clientX - box.left) / box.width;
    };
    this.drawing.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      isDown = true;
      this.drawing.setPointerCapture(event.pointerId);
      sought(this, share(event), true);
    });
    this.drawing.addEventListener("pointermove", (event) => { if (isDown) sought(this, share(event), false); });
    for (const name of ["pointerup", "pointercancel"]) this.drawing.addEventListener(name, () => { isDown = false; });
  }

  /** Gives it its number, and hides what it is in a blind test. */
  label(i, isHidden) {
    this.number.textContent = String(i + 1);
    this.title = isHidden ? `sound ${i + 1}` : this.file.name;
    this.pick.setAttribute("aria-label", `Hear ${i + 1}: ${this.title}`);
    this.canvas.setAttribute("aria-label", isHidden ? `Sound ${i + 1}` : `Outline of ${this.file.name}`);
    this.about.hidden = isHidden;
    this.unnamed.hidden = !isHidden;
    this.unnamed.textContent = `Sound ${i + 1}`;
    this.isHidden = isHidden;
  }

  /** Hatches where it and the first file differ: here what this one has, there what the first one has. */
  shareDifferences(first) {
    for (const { side, at } of this.file.differs) {
      if (side !== "b") this.lane.differs.push(at);
      if (side !== "a") first.lane.differs.push(at);
    }
  }

  /** Seconds of the axis at which it begins to differ from the first file. */
  places() {
    const { file, lane } = this;
    const told = [...file.only, ...(file.only_kept ?? []), ...file.differs.map((each) => each.at)].map(([start]) => start);
    if (told.length || !lane.residual) return told;
    const { start_s: start, step_s: step, only_here: here, only_reference: there } = lane.residual;
    const isOver = (i) => Math.max(here[i] ?? 0, there[i] ?? 0) >= DIFFERS_FROM;
    return here.map((_, i) => i).filter((i) => isOver(i) && !isOver(i - 1)).map((i) => start + i * step);
  }

  /** Takes what the server says of its sound now; tells whether it lies elsewhere than before. */
  update(state) {
    const { lane } = this;
    const hasMoved = state.offset_s !== lane.offset_s || state.rate !== lane.rate;
    for (const name of Object.keys(lane)) if (state[name] !== undefined && state[name] !== null) lane[name] = state[name];
    this.shift.textContent = placed(lane);
    this.trouble.textContent = state.problem ?? "";
    return hasMoved;
  }

  showGain(isMatched) {
    const { gain_db: gain, is_whole: isWhole } = this.lane;
    this.gain.textContent = isWhole && isMatched ? `· played ${gain < 0 ? "−" : "+"}${Math.abs(gain).toFixed(1)} dB` : "";
  }

  draw(axis, isHeard) {
    this.element.classList.toggle("heard", isHeard);
    this.pick.setAttribute("aria-pressed", String(isHeard));
    draw(this.canvas, axis, this.lane, isHeard, this.isHidden);
  }

  moveTo(axis, seconds) {
    this.playhead.style.transform = `translateX(${axis.x(seconds, this.canvas.clientWidth)}px)`;
  }
}
