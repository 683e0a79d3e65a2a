// What all pages share: asking the server, and saying what came of it.

export const NO_ANSWER = "The server does not answer. Is `reprise serve` still running?";

/** Asks the API; a body makes it a change. Says what went wrong, and throws. */
export async function ask(address, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    say(NO_ANSWER, true);
    throw error;
  }
  const found = await answer.json();
  if (!answer.ok) { say(found.error, true); throw new Error(found.error); }
  return found;
}

/** Shows one line to the person, and to a screen reader. */
export function say(text, isError = false) {
  const status = document.querySelector("#status");
  status.textContent = text;
  status.classList.toggle("error", isError);
}

/** An element: el("b", { className: "x", onclick }, "text", child). */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Seconds as 1:23 or 1:23.4. */
export function clock(seconds, digits = 0) {
  const unit = 10 ** digits, n = Math.round(Math.abs(seconds) * unit);  // rounded first: 59.97 s are 1:00.0
  const rest = ((n % (60 * unit)) / unit).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return `${seconds < 0 && n ? "−" : ""}${Math.floor(n / (60 * unit))}:${rest}`;
}

/** Bytes in words. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) { bytes /= 1000; at += 1; }
  return `${at && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}
