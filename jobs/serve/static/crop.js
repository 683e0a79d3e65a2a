// The part of a picture that is kept: a frame over it with handles, moved by mouse, touch and arrow keys.
import { el } from "./common.js";

/** Least pixels that a handle leaves each way; fewer can be typed. */
const LEAST = 16;
/** Which sides a handle moves: −1 left or top, 1 right or bottom. Corners come last and so lie on top. */
const HANDLES = [
  [0, -1, "Top edge"], [1, 0, "Right edge"], [0, 1, "Bottom edge"], [-1, 0, "Left edge"],
  [-1, -1, "Top left corner"], [1, -1, "Top right corner"], [1, 1, "Bottom right corner"], [-1, 1, "Bottom left corner"],
];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

/** A part after a handle was moved by so many pixels, within the picture. */
function resized(part, [across, down], [dx, dy], whole, isSquare) {
  const least = Math.min(LEAST, part.width, part.height);
  let { left, top } = part, right = left + part.width, bottom = top + part.height;
  if (across < 0) left = clamp(left + dx, 0, right - least);
  if (across > 0) right = clamp(right + dx, left + least, whole.width);
  if (down < 0) top = clamp(top + dy, 0, bottom - least);
  if (down > 0) bottom = clamp(bottom + dy, top + least, whole.height);
  if (isSquare) {
    const isByWidth = across && (!down || Math.abs(dx) >= Math.abs(dy));
    const room = (sign, low, high, end) => (sign < 0 ? high : sign > 0 ? end - low : 2 * Math.min((low + high) / 2, end - (low + high) / 2));
    const side = Math.floor(Math.min(isByWidth ? right - left : bottom - top,
      room(across, left, right, whole.width), room(down, top, bottom, whole.height)));
    const from = (sign, low, high) => (sign < 0 ? high - side : sign > 0 ? low : Math.round((low + high - side) / 2));
    left = from(across, left, right);
    top = from(down, top, bottom);
    right = left + side;
    bottom = top + side;
  }
  return { left, top, width: right - left, height: bottom - top };
}

/** A part that was moved by so many pixels, within the picture. */
function moved(part, [dx, dy], whole) {
  return { ...part, left: clamp(part.left + dx, 0, whole.width - part.width), top: clamp(part.top + dy, 0, whole.height - part.height) };
}

/** The largest square in the middle of a part. */
function squared(part) {
  const side = Math.min(part.width, part.height);
  return { left: part.left + Math.floor((part.width - side) / 2), top: part.top + Math.floor((part.height - side) / 2), width: side, height: side };
}

/** The nearest part that lies in the picture. */
function within(part, whole) {
  const left = clamp(Math.round(part.left) || 0, 0, whole.width - 1), top = clamp(Math.round(part.top) || 0, 0, whole.height - 1);
  return {
    left, top, width: clamp(Math.round(part.width) || 1, 1, whole.width - left), height: clamp(Math.round(part.height) || 1, 1, whole.height - top),
  };
}

export class Cropper {
  /** Fills `place`; calls `changed()` whenever a person changed the part. Elements are described by `describedBy`. */
  constructor(place, describedBy, changed) {
    this.place = place;
    this.changed = changed;
    this.isSquare = false;
    this.image = el("img", { alt: "The chosen picture", draggable: false });
    this.shade = el("div", { className: "shade" });
    this.kept = el("div", { className: "kept", hidden: true });
    this.mover = this.#grip("Part to keep: move", "move", [0, 0], describedBy);
    const handles = HANDLES.map(([across, down, name]) => {
      const made = this.#grip(`${name}: resize`, "handle", [across, down], describedBy);
      made.style.left = `${50 * (across + 1)}%`;
      made.style.top = `${50 * (down + 1)}%`;
      made.style.cursor = across && down ? (across === down ? "nwse-resize" : "nesw-resize") : across ? "ew-resize" : "ns-resize";
      return made;
    });
    this.frame = el("div", { className: "part" }, this.mover, ...handles);
    this.clip = el("div", { className: "clip" }, this.shade, this.kept);
    place.replaceChildren(this.image, this.clip, this.frame);
  }

  /** Shows a picture, all of it kept; `whole` are its own pixels, `address` that of its preview. */
  show(address, whole) {
    this.whole = whole;
    this.image.src = address;
    this.place.style.width = `calc(60vh * ${whole.width / whole.height})`;
    this.image.width = whole.width;
    this.image.height = whole.height;
    this.reset();
  }

  reset() {
    const part = { left: 0, top: 0, ...this.whole };
    this.set(this.isSquare ? squared(part) : part);
  }

  square(isOn) {
    this.isSquare = isOn;
    if (isOn) this.set(squared(this.part));
  }

  set(part) {
    const found = within(part, this.whole);
    this.part = this.isSquare && found.width !== found.height ? squared(found) : found;
    for (const each of [this.frame, this.shade]) this.#lay(each, this.part);
    const isWhole = this.part.width === this.whole.width && this.part.height === this.whole.height;
    this.mover.classList.toggle("whole", isWhole);  // nothing to move: then a finger scrolls the page
    this.kept.hidden = true;
  }

  /** Marks what is left after borders were trimmed: [left, top, right, bottom]. */
  mark([left, top, right, bottom]) {
    const { part } = this;
    this.kept.hidden = left === part.left && top === part.top && right === part.left + part.width && bottom === part.top + part.height;
    this.#lay(this.kept, { left, top, width: right - left, height: bottom - top });
  }

  #lay(element, { left, top, width, height }) {
    element.style.left = `${100 * left / this.whole.width}%`;
    element.style.top = `${100 * top / this.whole.height}%`;
    element.style.width = `${100 * width / this.whole.width}%`;
    element.style.height = `${100 * height / this.whole.height}%`;
  }

  #change(from, sides, by) {
    const before = JSON.stringify(this.part);
    this.set(sides[0] || sides[1] ? resized(from, sides, by, this.whole, this.isSquare) : moved(from, by, this.whole));
    if (JSON.stringify(this.part) !== before) this.changed();
  }

  #grip(label, className, sides, describedBy) {
    const made = el("button", { type: "button", className, "aria-label": label, "aria-describedby": describedBy });
    let start = null;
    made.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      made.setPointerCapture(event.pointerId);
      start = { x: event.clientX, y: event.clientY, part: this.part };
    });
    made.addEventListener("pointermove", (event) => {
      if (!start) return;
      const scale = this.whole.width / this.image.clientWidth;
      this.#change(start.part, sides, [Math.round(scale * (event.clientX - start.x)), Math.round(scale * (event.clientY - start.y))]);
    });
    for (const name of ["pointerup", "pointercancel"]) made.addEventListener(name, () => { start = null; });
    made.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const step = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(this.whole.width, this.whole.height) / 100));
      this.#change(this.part, sides, [arrow[0] * step, arrow[1] * step]);
    });
    return made;
  }
}
