// Looks for lossless files that were made from lossy ones, a few at a time.
import { ask, el } from "./common.js";

const look = document.querySelector("#look");
if (look) {
  const found = document.querySelector("#found"), looked = document.querySelector("#looked");
  look.addEventListener("click", async () => {
    look.disabled = true;
    found.replaceChildren();
    let at = 0, n = Number(look.dataset.n), count = 0;
    try {
      while (at < n) {
        const told = await ask(`/api/suspects/${at}`);
        for (const file of told.files) {
          count += 1;
          found.append(el("li", {}, el("bdi", {}, file.name),
            el("div", { className: "quiet" }, el("bdi", {}, file.folder)), el("div", { className: "error" }, file.what)));
        }
        at = told.next; n = told.n_files;
        looked.textContent = `${at} of ${n} looked at, ${count} suspected`;
      }
    } finally {
      look.disabled = false;
    }
  });
}
