// Draws one lane on the common axis: its outline, below it how well it matches, and what only one copy has.

const OUTLINE = 44, MATCH = 12, RESIDUAL = 14, GAP = 3;
/** Pixels of a drawing that has curves below its outline. */
const HEIGHT = OUTLINE + GAP + MATCH + GAP + RESIDUAL;
/** Share of equal bits of two unrelated sounds: the foot of the curve. */
const CHANCE = 0.5;

/** The colours of the page, which follow its light or dark scheme. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return { heard: of("mark"), other: of("chance"), line: of("line"), told: of("told"), good: of("good"), raised: of("raised") };
}

/** Where seconds of the axis lie in a drawing. */
export class Axis {
  constructor(begin, end) {
    this.begin = begin;
    this.end = Math.max(end, begin + 0.1);
  }

  x(seconds, width) { return (seconds - this.begin) / (this.end - this.begin) * width; }

  seconds(x, width) {
    return this.begin + Math.min(Math.max(x / width, 0), 1) * (this.end - this.begin);
  }
}

/** Draws a lane. `lane` has: offset_s, rate, length_s, outline, step_s, alike, residual, only, differs; what is not
 * known yet is null. `isHeard` gives it colour, `isHidden` leaves only its frame. */
export function draw(canvas, axis, lane, isHeard, isHidden) {
  const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
  if (!width) return;
  const height = isHidden || !lane.alike ? OUTLINE : HEIGHT;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d"), ink = colours();
  pen.scale(ratio, ratio);
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = ink.raised;
  pen.fillRect(0, 0, width, OUTLINE);
  if (isHidden) return;
  const view = { pen, axis, width, ink };
  drawOutline(view, lane, isHeard ? ink.heard : ink.other);
  hatch(view, [...lane.only, ...lane.differs], OUTLINE);
  if (lane.alike) drawMatch(view, lane.alike, OUTLINE + GAP);
  if (lane.residual) drawResidual(view, lane.residual, OUTLINE + GAP + MATCH + GAP);
}

function drawOutline({ pen, axis, width }, lane, colour) {
  const { outline, step_s: step } = lane;
  pen.fillStyle = colour;
  const x = (second) => axis.x((second - lane.offset_s) / (1 + lane.rate), width);
  if (lane.length_s) pen.fillRect(x(0), OUTLINE / 2 - 0.5, Math.max(1, x(lane.length_s) - x(0)), 1);
  if (!outline) return;
  const n = outline.length / 2;
  for (let i = 0; i < n; i += 1) {
    const left = x(i * step), right = x((i + 1) * step);
    const top = OUTLINE / 2 * (1 - outline[2 * i + 1] / 128), bottom = OUTLINE / 2 * (1 - outline[2 * i] / 128);
    pen.fillRect(left, top, Math.max(right - left, 0.7), Math.max(bottom - top, 1));
  }
}

function drawMatch({ pen, axis, width, ink }, alike, top) {
  const { start_s: start, end_s: end, steps } = alike, step = (end - start) / Math.max(1, steps.length);
  pen.fillStyle = ink.line;
  pen.fillRect(axis.x(start, width), top + MATCH - 1, axis.x(end, width) - axis.x(start, width), 1);
  pen.fillStyle = ink.good;
  steps.forEach((value, i) => {
    if (value === null) return;
    const height = MATCH * Math.max(0, (value - CHANCE) / (1 - CHANCE));
    const left = axis.x(start + i * step, width);
    pen.fillRect(left, top + MATCH - height, Math.max(axis.x(start + (i + 1) * step, width) - left - 0.5, 0.5), height);
  });
}

function drawResidual({ pen, axis, width, ink }, residual, top) {
  const { start_s: start, step_s: step, only_here: here, only_reference: reference } = residual;
  const n = Math.max(here.length, reference.length), middle = top + RESIDUAL / 2;
  pen.fillStyle = ink.line;
  pen.fillRect(axis.x(start, width), middle - 0.5, axis.x(start + n * step, width) - axis.x(start, width), 1);
  pen.fillStyle = ink.told;
  for (let i = 0; i < n; i += 1) {
    const left = axis.x(start + i * step, width), wide = Math.max(axis.x(start + (i + 1) * step, width) - left, 0.7);
    const up = RESIDUAL / 2 * Math.sqrt(here[i] ?? 0), down = RESIDUAL / 2 * Math.sqrt(reference[i] ?? 0);
    if (up + down > 0.5) pen.fillRect(left, middle - up, wide, up + down);
  }
}

/** Hatches stretches of the axis. */
function hatch({ pen, axis, width, ink }, stretches, height) {
  pen.save();
  pen.beginPath();
  for (const [start, end] of stretches) {
    const left = axis.x(start, width);
    pen.rect(left, 0, Math.max(axis.x(end, width) - left, 3), height);
  }
  pen.clip();
  pen.strokeStyle = ink.told;
  pen.lineWidth = 1.2;
  pen.beginPath();
  if (stretches.length) {
    for (let x = -height; x < width; x += 6) { pen.moveTo(x, height); pen.lineTo(x + height, 0); }
  }
  pen.stroke();
  pen.restore();
}
