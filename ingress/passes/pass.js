// One booking, for whoever has its pass. The pass stands behind the # of the link: it is given in for a cookie and taken
// out of the address at once. What is shown is what the API tells, in the words of words.js, which stands before this; text
// is set as text, never as markup.
const LANGUAGE = (navigator.language || "en").startsWith("de") ? "de" : "en";
const words = WORDS[LANGUAGE];
const LOOK_EVERY_SECONDS = 30, LOOKS_FOR_A_WISH = 30;
const $ = (id) => document.getElementById(id);
let opened = null;  // {booking_ref, clinic, timezone}
let booking = null;
let events = null;  // the stream of what becomes of it
let asked = null;  // what was asked for and is not seen carried out yet: looked for every second, a while

const address = () => `/v1/appointments/${opened.booking_ref}`;

function say(text, lost) {
  $("state").textContent = text;
  $("state").className = lost ? "lost" : "";
}

// What was said of the connection is over; what was said to a wish stays.
function reached() {
  if ([words.lost, words.away].includes($("state").textContent)) say("");
}

function local(text) {
  const timeZone = booking.timezone ?? opened.timezone;
  const at = new Intl.DateTimeFormat(navigator.language, {dateStyle: "full", timeStyle: "short", timeZone}).format(new Date(text));
  return timeZone === Intl.DateTimeFormat().resolvedOptions().timeZone ? at : `${at} (${timeZone})`;
}

// What kept it from coming to something; a reason that this page is older than is left out.
const why = (told) => words.why[told.reason] ?? "";

function note() {
  const wish = booking.reschedule;
  if (booking.status === "rejected" || booking.status === "cancelled") return `${why(booking)} ${words.elsewhere}`.trim();
  if (asked !== null) return asked.text;
  if (!wish) return "";
  if (wish.status === "pending") return words.moving;
  if (wish.status === "rescheduled") return wish.by === "clinic" ? words.moved : "";
  return wish.by === "patient" ? `${words.stays} ${why(wish)}`.trim() : "";
}

function show(told) {
  booking = told;
  const over = !["pending", "confirmed", "waitlisted"].includes(told.status);
  const waits = told.status === "waitlisted";
  const offer = waits ? told.waitlist?.offer : undefined;
  const moved = told.reschedule?.status === "rescheduled" && told.reschedule.by === "clinic";
  if (asked !== null && asked.done(told)) asked = null;
  $("status").textContent = words[offer ? "offered" : told.status] ?? told.status;
  const came = ["confirmed", "arrived", "completed"].includes(told.status);
  $("status").className = came ? "good" : over ? "bad" : "";
  $("clinic").textContent = opened.clinic;
  $("when").textContent = told.start_at ? local(told.start_at) : "";
  const place = told.place ? words.place(told.place) : "";
  const eta = told.status === "pending" && told.eta ? words.eta(Math.max(1, Math.ceil(told.eta.p90 / 60))) : "";
  $("line").textContent = `${place} ${eta}`.trim();
  $("ref").textContent = `${words.ref}: ${told.booking_ref}`;
  $("note").textContent = note();
  $("offer").hidden = !offer;
  if (offer) $("held").textContent = words[offer.to_all ? "first" : "held"](local(offer.expires_at));
  $("move").hidden = waits;
  $("cancel").textContent = waits ? words.leave : moved ? words.decline : words.cancel;
  $("change").hidden = over || asked !== null;
  document.querySelector("main").hidden = false;
}

async function look() {
  const answer = await fetch(address());
  if (answer.status === 401 || answer.status === 404) return end();
  if (!answer.ok) throw new Error(answer.status);
  show(await answer.json());
  reached();
  if (events?.readyState === EventSource.CLOSED && moves()) follow();  // an answer that is an error ends it for good
}

const moves = () => ["pending", "waitlisted"].includes(booking?.status);

// Live until it is decided; the server then tells that there is no more. After that, and beside it, a look now and then.
function follow() {
  events = new EventSource(`${address()}/events`);
  events.addEventListener("booking", (event) => {
    if (!opened) return;
    show(JSON.parse(event.data));
    reached();
  });
  events.addEventListener("error", () => { if (opened && moves()) say(words.lost, true); });
}

async function keepLooking() {
  for (let second = 1; opened; second += 1) {
    await new Promise((done) => setTimeout(done, 1000));
    if (!opened || (asked === null && second % LOOK_EVERY_SECONDS)) continue;
    if (asked !== null && (asked.looks -= 1) < 0) asked = null;
    await look().catch(() => say(words.lost, true));
  }
}

async function send(method, path, body, waiting) {
  const headers = {"Idempotency-Key": crypto.randomUUID()};
  if (body) headers["Content-Type"] = "application/json";
  let answer = null;
  try {
    answer = await fetch(path, {method, headers, body: body && JSON.stringify(body)});
  } catch {
    return say(words.away, true);
  }
  if (answer.status === 401) return end();
  if (answer.status === 200) {
    say("");
    return show(await answer.json());
  }
  if (answer.status === 202) {
    say("");
    asked = {...waiting, looks: LOOKS_FOR_A_WISH};
    return show(booking);
  }
  if (answer.status >= 500 || answer.status === 429) return say(words.away, true);
  const problem = await answer.json().catch(() => ({}));
  say(words.refused[problem.type?.split("/").pop()] ?? words.failed, true);
  await look().catch(() => {});
}

// The instant at which this day begins on the clinic's clock. Looked for twice: between the first guess and it the clocks
// may change.
function midnight(day, zone) {
  const wanted = Date.parse(`${day}T00:00:00Z`);
  let at = wanted;
  for (let look = 0; look < 2; look += 1) {
    at += wanted - Date.parse(`${new Date(at).toLocaleString("sv", {timeZone: zone}).replace(" ", "T")}Z`);
  }
  return new Date(at);
}

const dayAfter = (day) => new Date(Date.parse(day) + 86400000).toISOString().slice(0, 10);
const today = (zone) => new Date().toLocaleDateString("sv", {timeZone: zone});

function end() {
  opened = null;
  document.querySelector("main").hidden = true;
  say(words.gone, true);
}

async function open() {
  const given = location.hash.slice(1);
  if (!given.includes(".")) return JSON.parse(sessionStorage.getItem("opened") ?? "null");
  history.replaceState(null, "", location.pathname);
  let answer = null;
  try {
    answer = await fetch("/v1/passes", {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({pass: given}),
    });
    if (answer.status >= 500) throw new Error(answer.status);
  } catch (error) {
    history.replaceState(null, "", `#${given}`);  // for whoever tries again
    throw error;
  }
  if (!answer.ok) return null;
  const told = await answer.json();
  sessionStorage.setItem("opened", JSON.stringify(told));
  return told;
}

for (const how of ["accept", "decline"]) {
  $(how).addEventListener("click", () => send("POST", booking.waitlist.offer.links[how]));
}
$("cancel").addEventListener("click", () => { $("ask").hidden = false; $("no").focus(); });
$("no").addEventListener("click", () => { $("ask").hidden = true; $("cancel").focus(); });
$("yes").addEventListener("click", () => {
  $("ask").hidden = true;
  send("DELETE", address(), null, {text: words.cancelling, done: (told) => told.status === "cancelled"});
});
$("move").addEventListener("submit", (event) => {
  event.preventDefault();
  const [from, to] = [$("day").value, dayAfter($("day").value)].map((day) => midnight(day, opened.timezone));
  const range = {from: new Date(Math.max(from, Date.now() + 60000)), to};
  const before = booking.reschedule?.requested_at;
  const done = (told) => told.reschedule !== undefined && told.reschedule.requested_at !== before;
  send("PATCH", `${address()}/reschedule`, {range}, {text: words.asked, done});
});
document.addEventListener("visibilitychange", () => { if (opened && !document.hidden) look().catch(() => {}); });

async function run() {
  document.documentElement.lang = LANGUAGE;
  document.title = words.title;
  document.querySelector("label").textContent = words.day;
  for (const id of ["find", "cancel", "accept", "sure", "yes", "no"]) $(id).textContent = words[id];
  $("decline").textContent = words.declineOffer;
  say(words.loading);
  try {
    opened = await open();
    if (!opened) return end();
    $("day").min = today(opened.timezone);
    await look().catch(() => say(words.away, true));
    if (!opened) return;
    if (booking) say("");
    follow();
    keepLooking();
  } catch {
    say(words.away, true);
  }
}
window.addEventListener("hashchange", () => location.reload());
run();
