// What a person says about the files side by side: each answer is kept by the server before the next ones come.
import { ask, say } from "./common.js";

/** The body of an answer about a group, or an error in words. `shown`: state, files, heard (id), values, letsGo. */
function groupAnswer(word, { state, files, heard, values, letsGo }) {
  const reference = files[0], kept = files.find((file) => file.action === "keep") ?? reference;
  const body = { word, state, kept: word === "keep" ? heard : kept.id, different: [], let_go: letsGo, values };
  if (word !== "different") return body;
  const others = files.slice(1);
  if (heard !== reference.id) return { ...body, different: [heard] };
  if (others.length === 1) return { ...body, different: [others[0].id] };
  return "Play the file that is different first: you hear the one that the others are compared with.";
}

/** Sends an answer; returns what the server says, or null if there was nothing to send. */
export async function answer(kind, id, word, shown) {
  if (kind === "pair") return ask(`/api/pairs/${id}/answer`, { same: word === "same", state: shown.state });
  const body = groupAnswer(word, shown);
  if (typeof body === "string") { say(body, true); return null; }
  return ask(`/api/groups/${id}/answer`, body);
}

/** Takes the last answer back. */
export const undo = () => ask("/api/undo", {});
