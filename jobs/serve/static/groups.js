// The list of groups: select several, and accept what the rules say about them.
import { ask, say } from "./common.js";

const form = document.querySelector("#chosen");
if (form) {
  const boxes = [...form.querySelectorAll("input[name=group]")], all = form.querySelector("#all");
  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const groups = chosen();
    if (!groups.length) { say("Select groups first."); return; }
    const preview = await ask("/api/accept", { groups, preview: true });
    if (!preview.n_groups) { say("In none of these did every copy that goes pass its null test."); return; }
    if (!confirm(preview.text)) return;
    const done = await ask("/api/accept", { groups });
    location.reload();
    say(done.text);
  });
}
