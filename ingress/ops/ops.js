// Reads /ops/live, whose every event is the whole state, and shows it. Text is set as text, never as markup.
"use strict";

const POINTS = 150;  // five minutes of looks
const history = {rate: [], undecided: [], oldest: []};
const $ = (id) => document.getElementById(id);
let key = null;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return `${Math.round(value * 1000)}\u00a0ms`;
  if (value < 120) return `${value.toFixed(value < 10 ? 1 : 0)}\u00a0s`;
  return `${Math.round(value / 60)}\u00a0min`;
}

function big(id, text, good) {
  const shown = $(id).querySelector(".big");
  shown.textContent = text;
  shown.className = `big ${good === null ? "" : good ? "good" : "bad"}`;
}

function slo(id, told) {
  const share = told.good === null ? "–" : `${(Math.floor(told.good * 10000) / 100).toFixed(2)}%`;
  big(id, share, told.good === null ? null : told.good >= told.goal);
  $(id).querySelector(".small").textContent =
    `goal ${told.goal * 100}% · p50 ${seconds(told.p50)} · p99 ${seconds(told.p99)}`;
}

function line(id, value) {
  const points = history[id];
  points.push(value ?? 0);
  if (points.length > POINTS) points.shift();
  const svg = $(id).querySelector("svg");
  const most = Math.max(...points, 1);
  svg.setAttribute("viewBox", `0 0 ${POINTS} 32`);
  svg.setAttribute("preserveAspectRatio", "none");
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const first = POINTS - points.length;
  drawn.setAttribute("points", points.map((y, x) => `${first + x},${31 - (y / most) * 30}`).join(" "));
  svg.replaceChildren(drawn);
}

function why(counts) {
  const all = Object.values(counts).reduce((a, b) => a + b, 0);
  const words = $("why-words");
  const bar = $("why");
  bar.replaceChildren();
  words.replaceChildren();
  for (const [name, count] of Object.entries(counts)) {
    if (!count) continue;
    const part = element("span", undefined, name);
    part.style.flexGrow = count;
    bar.append(part);
    words.append(element("i", undefined, name), `${name} ${count}`);
  }
  if (!all) words.textContent = "no line waits";
  bar.setAttribute("aria-label", words.textContent);
}

function row(clinic) {
  const shown = element("tr");
  const name = element("td", clinic.clinic_id);
  if (clinic.name) name.append(" ", element("small", clinic.name));
  const calls = element("td", undefined, "calls");
  if (clinic.limit !== null) {
    const meter = element("meter");
    meter.max = Math.max(clinic.limit, 1);
    meter.value = clinic.in_flight ?? 0;
    calls.append(meter, ` ${clinic.in_flight ?? 0} of ${clinic.limit}`);
  }
  const state = clinic.down ? element("td", "down", "bad") : element("td", clinic.why ?? (clinic.line ? "under way" : "idle"));
  shown.append(name, element("td", clinic.line), calls, element("td", seconds(clinic.call_seconds), "wide"), state);
  return shown;
}

function show(told) {
  const faults = told.faults.map((fault) => element("p", fault));
  $("faults").replaceChildren(...(faults.length ? faults : [element("p", "Nothing needs a look.", "none")]));
  slo("accept", told.accept);
  slo("decided", told.decided);
  big("rate", told.accepted_a_minute === null ? "–" : Math.round(told.accepted_a_minute), null);
  line("rate", told.accepted_a_minute);
  big("undecided", told.undecided, null);
  line("undecided", told.undecided);
  big("oldest", seconds(told.oldest_up_seconds), told.oldest_up_seconds <= 900);
  line("oldest", told.oldest_up_seconds);
  const enough = told.workers_desired === null || told.workers_running >= told.workers_desired;
  big("workers", `${told.workers_running} of ${told.workers_desired ?? "–"}`, enough);
  $("workers").querySelector(".small").textContent =
    `${told.calls_in_flight} of ${told.calls_max} calls · ${told.clinics_down} clinics down`;
  why(told.why);
  $("clinics").replaceChildren(...told.clinics.map(row));
  $("roles").replaceChildren(
    ...Object.entries(told.roles).map(([name, count]) => element("span", `${name} ${count}`, count ? "good" : "bad")));
  const refused = Object.entries(told.refused).map(([reason, count]) => `${reason} ${count}`);
  $("refused").textContent = refused.length ? `Refused: ${refused.join(", ")}` : "Nobody was refused.";
  document.querySelector("main").hidden = false;
}

function say(text, lost) {
  $("state").textContent = text;
  $("state").className = lost ? "lost" : "";
}

async function follow() {
  const answer = await fetch("/ops/live", {headers: key ? {Authorization: `Bearer ${key}`} : {}});
  if (answer.status === 401 || answer.status === 403) {
    say(key ? "that key may not look at this page" : "an operator's key is needed", true);
    $("ask").hidden = false;
    return false;
  }
  if (!answer.ok) throw new Error(answer.status);
  $("ask").hidden = true;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return true;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((each) => each.startsWith("data: "));
      if (data) show(JSON.parse(data.slice(6)));
    }
    say(`live, ${new Date().toLocaleTimeString()}`, false);
  }
}

async function run() {
  for (;;) {
    try {
      if (!(await follow())) return;
    } catch {
      // ingress is away or restarts: what is shown is old
    }
    say(`lost; what is shown is from ${$("state").textContent.replace(/^.*, /, "")}`, true);
    await new Promise((done) => setTimeout(done, 2000));
  }
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  $("key").value = "";
  run();
});
run();
