// Home: what goes on, and what is new since the last visit. A visit lasts as long as its tab.
import { ask, el } from "./common.js";
import { Drawn, listen } from "./work.js";

const MARK = "reprise-mark";
const drawn = new Drawn(document.querySelector("#work"), true);
let ran = null;
listen((record) => {
  drawn.show(record);
  if (ran && !record.job) location.reload(); // the numbers above have changed
  ran = record.job;
});

const kept = (store) => { try { return JSON.parse(store.getItem(MARK)); } catch { return null; } };
const keep = (store, mark) => { try { store.setItem(MARK, JSON.stringify(mark)); } catch { /* a browser that keeps nothing */ } };

const since = kept(sessionStorage) ?? kept(localStorage), place = document.querySelector("#news");
const query = since ? `?${new URLSearchParams({ track: since.track, audio: since.audio })}` : "";
const news = await ask(`/api/news${query}`);
keep(sessionStorage, since ?? news.mark);
keep(localStorage, news.mark);
place.replaceChildren(el("p", {}, news.known ? news.text : "This is your first visit with this browser."));
if (news.groups.length) {
  place.append(el("ul", { className: "plain" },
    ...news.groups.map((each) => el("li", {}, el("a", { href: `/groups/${each.id}` }, el("bdi", {}, each.title)))),
    ...(news.more ? [el("li", {}, `and ${news.more.toLocaleString("en")} more`)] : [])));
}
