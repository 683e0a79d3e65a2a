// The keys of the player, once: what they do, their buttons, and the help all come from this list.
import { el } from "./common.js";

/** Each: the key and whether with Shift, how it is shown, what it does, the label of its button, the row of buttons in
 * which that stands, what is done, whether it stays on, and for which kinds of lineup it is (any, if not said). */
const KEYS = [
  { key: " ", shown: "Space", does: "Play or pause", button: "Play", row: "sound", act: "toggle" },
  { key: "arrowleft", shown: "←", does: "5 s back", button: "−5 s", row: "sound", act: "back" },
  { key: "arrowright", shown: "→", does: "5 s forward", button: "+5 s", row: "sound", act: "forward" },
  { key: "arrowleft", shift: true, shown: "Shift ←", does: "Back to where they differ", button: "◂ Differs", row: "sound", act: "differedBefore" },
  { key: "arrowright", shift: true, shown: "Shift →", does: "On to where they differ", button: "Differs ▸", row: "sound", act: "differsNext" },
  { key: "l", shown: "L", does: "Repeat the 8 s around the playhead", button: "Loop", row: "sound", act: "loop", holds: true },
  { key: "d", shift: true, shown: "Shift D", does: "Hear the difference from the first file", button: "Difference", row: "sound", act: "difference", holds: true },
  { key: "m", shown: "M", does: "Play all equally loud", button: "Match loudness", row: "sound", act: "match", holds: true },
  { key: "x", shown: "X", does: "Blind test: names hidden, order shuffled", button: "Blind test", row: "sound", act: "blind", holds: true },
  { key: "k", shown: "K", does: "Keep the file you hear (in a blind test: this one sounds best)", button: "Keep this", row: "answers", act: "keep", kinds: ["group"] },
  { key: "s", shown: "S", does: "The same: keep the best, unite its tags, let the others go", button: "Same", row: "answers", act: "same", kinds: ["group", "pair"] },
  { key: "d", shown: "D", does: "The file you hear is different from the first", button: "Different", row: "answers", act: "different", kinds: ["group", "pair"] },
  { key: "a", shown: "A", does: "Keep all files", button: "Keep all", row: "answers", act: "keepAll", kinds: ["group"] },
  { key: "u", shown: "U", does: "Undo the last answer", button: "Undo", row: "answers", act: "undo", kinds: ["group", "pair"] },
  { key: "p", shown: "P", does: "The one before, without an answer", button: "Previous", row: "ways", act: "previous" },
  { key: "n", shown: "N", does: "The next one, without an answer", button: "Next", row: "ways", act: "next" },
  { key: "?", shown: "?", does: "Show all keys", button: "Keys", row: "ways", act: "help" },
];

const isFor = (entry, kind) => !entry.kinds || entry.kinds.includes(kind);

/** What a key press does: a name of KEYS, ["hear", 0 to 8] for a digit, or nothing. */
export function actOf(event, kind) {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  const { key, target } = event;
  if (target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return null;
  if (key === " " && target.closest("button, summary, a, input")) return null;  // it presses that
  if (/^[1-9]$/.test(key)) return ["hear", Number(key) - 1];
  const isShouted = key !== key.toLowerCase() && key.length === 1 && !event.getModifierState("CapsLock");
  const isShifted = event.shiftKey || isShouted, low = key.toLowerCase();
  const fitting = KEYS.filter((entry) => entry.key === low && isFor(entry, kind));
  const found = fitting.find((entry) => Boolean(entry.shift) === isShifted) ?? fitting.find((entry) => !entry.shift);
  return found && [found.act];
}

/** The buttons of a row; `acts` are functions by name. */
export function buttonsOf(row, kind, acts) {
  return KEYS.filter((entry) => entry.row === row && isFor(entry, kind)).map((entry) => {
    const made = el("button", { type: "button", title: entry.does, onclick: () => acts[entry.act]() },
      el("span", {}, entry.button), el("kbd", {}, entry.shown));
    made.dataset.act = entry.act;
    if (entry.holds) made.setAttribute("aria-pressed", "false");
    // A click leaves the focus where it was, so that Space goes on to play and pause.
    made.addEventListener("mousedown", (event) => event.preventDefault());
    return made;
  });
}

/** A dialog that lists all keys. */
export function helpOf(kind) {
  const rows = KEYS.filter((entry) => isFor(entry, kind)).map((entry) => [entry.shown, entry.does]);
  const body = [["1 – 9", "Hear this file, at the same instant"], ...rows].map(([shown, does]) =>
    el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, shown)), el("td", {}, does)));
  const close = el("button", { type: "button", className: "main" }, "Close");
  const made = el("dialog", { "aria-labelledby": "keys-title" },
    el("h2", { id: "keys-title" }, "Keys"), el("table", { className: "keys" }, el("tbody", {}, ...body)), close);
  close.addEventListener("click", () => made.close());
  return made;
}
