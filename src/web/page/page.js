// Keeps a page current, and shows instants in the zone of whoever looks. Without it every page works, in UTC, as it was sent.
"use strict";
(() => {
  const format = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const withYear = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const year = new Date().getFullYear();
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const byId = (id) => document.getElementById(id);
  const say = (node, text) => { node.textContent = text; node.hidden = !text; };

  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      time.textContent = (at.getFullYear() === year ? format : withYear).format(at);
      time.title ||= at.toUTCString();
    }
    for (const label of root.querySelectorAll("text[data-at]")) {
      label.textContent = ("day" in label.dataset ? day : clock).format(new Date(label.dataset.at));
    }
    const told = root.getElementById("zone");
    if (told && zone) told.textContent = "Times are " + zone;
  };

  // Makes `old` look like `fresh` and keeps what a person does with it: what is open, filled in, or in focus.
  // What has another name is another thing: a form that is open must not become one that does something else.
  const called = (node) => node.id || node.dataset?.key || "";
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || called(old) !== called(fresh)) { old.replaceWith(fresh.cloneNode(true)); return; }
    if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== fresh.data) old.data = fresh.data; return; }
    if (old.isEqualNode(fresh)) return;
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const news = [...fresh.childNodes];
    while (old.childNodes.length > news.length) old.lastChild.remove();
    news.forEach((child, at) => {
      const there = old.childNodes[at];
      if (there) morph(there, child); else old.append(child.cloneNode(true));
    });
  };

  const keys = (region) => [...region.querySelectorAll("[data-key]")].map((row) => row.dataset.key);
  // Rows that only came after those that are there move nothing.
  const moves = (old, fresh) => { const after = keys(fresh); return keys(old).some((key, at) => after[at] !== key); };

  let touched = 0;
  for (const kind of ["pointermove", "pointerdown", "keydown", "scroll", "touchstart"]) addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
  const isRead = () => Date.now() - touched < 30000 || document.querySelector("main details[open].deed") !== null;

  let timer = 0, busy = false, again = false, waiting = null;
  const apply = (page, all) => {
    let held = false;
    for (const region of document.querySelectorAll("[data-live][id]")) {
      const fresh = page.getElementById(region.id);
      if (!fresh || region.isEqualNode(fresh)) continue;
      if (!all && moves(region, fresh) && isRead()) { held = true; continue; }
      morph(region, fresh);
    }
    waiting = held ? page : null;
    say(byId("held"), held ? "Show what changed" : "");
  };

  const refresh = async () => {
    timer = 0;
    if (busy) { again = true; return; }
    if (document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { lost("Signed out: load the page again to sign in."); return; }
      if (!answer.ok) { lost("The daemon answers " + answer.status + "; what is shown may be old."); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      localize(page);
      apply(page, false);
      if (source && source.readyState === EventSource.OPEN) lost("");
    } catch {
      lost("The daemon does not answer; what is shown may be old. Trying again.");
      setTimeout(soon, 5000);
    } finally { busy = false; if (again) { again = false; soon(); } }
  };
  const pace = Number(document.querySelector("[data-pace]")?.dataset.pace) || 1000;
  const soon = () => { if (!timer) timer = setTimeout(refresh, pace); };
  const lost = (why) => say(byId("connection"), why);

  let source = null;
  const listen = () => {
    const job = document.body.dataset.job;
    source = new EventSource("/api/v1/events" + (job ? "?job=" + encodeURIComponent(job) : ""));
    const mine = source;
    for (const kind of ["hello", "run", "job", "lagged"]) mine.addEventListener(kind, soon);
    mine.onerror = () => {
      if (mine !== source) return;
      lost("The connection is lost; what is shown may be old. Trying again.");
      if (mine.readyState === EventSource.CLOSED) setTimeout(() => { if (mine === source) listen(); }, 15000);
    };
  };
  // A browser has few connections to one server, and each stream holds one: pages that nobody sees give theirs back.
  const seen = () => {
    if (document.hidden) { if (source) source.close(); source = null; } else if (!source) listen(); else soon();
  };

  localize(document);
  const held = byId("held");
  if (held) {
    held.addEventListener("click", () => { if (waiting) apply(waiting, true); });
    document.addEventListener("visibilitychange", seen);
    addEventListener("online", soon);
    setInterval(() => { if (!waiting || !isRead()) soon(); }, 30000);
    seen();
  }
})();
