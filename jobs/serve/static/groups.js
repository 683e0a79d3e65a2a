// The list of groups: select several, and accept what the rules say about them.
import { ask, say } from "./common.js";

const ACCEPTED = "reprise-accepted";  // what came of it, for the page that comes after
const keep = (text) => { try { sessionStorage.setItem(ACCEPTED, text); } catch { /* a browser that keeps nothing */ } };
const taken = () => {
  try {
    const text = sessionStorage.getItem(ACCEPTED);
    sessionStorage.removeItem(ACCEPTED);
    return text;
  } catch { return null; }
};

const form = document.querySelector("#chosen");
if (form) {
  const boxes = [...form.querySelectorAll("input[name=group]")], all = form.querySelector("#all");
  const told = form.querySelector("output");
  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
  form.addEventListener("change", () => { told.textContent = ""; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const groups = chosen();
    if (!groups.length) { told.textContent = "Select groups first."; return; }
    const preview = await ask("/api/accept", { groups, preview: true });
    if (!preview.n_groups) { told.textContent = "In each of these groups, a copy that would go has not passed its null test."; return; }
    told.textContent = preview.text;
    if (!confirm(preview.text)) { told.textContent = "Nothing is accepted."; return; }
    const done = await ask("/api/accept", { groups });
    keep(done.text);
    location.reload();
  });
}
const accepted = taken(), place = form?.querySelector("output");
if (accepted && place) place.textContent = accepted; else if (accepted) say(accepted);
