// Webhook endpoints of whoever's key is typed in. Does what the API does, with that key, and keeps it in memory only.
// Text is set as text, never as markup.
"use strict";

const PATH = "/v1/webhook-endpoints";
const $ = (id) => document.getElementById(id);
let key = null;
let shown = null;  // the endpoint whose deliveries are listed

function say(text, bad) {
  $("state").textContent = text;
  $("state").className = bad ? "bad" : "";
}

function cell(content, className) {
  const made = document.createElement("td");
  made.append(...[content].flat().map((each) => each ?? "–"));
  if (className) made.className = className;
  return made;
}

function row(...cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

// ``about``: what it acts on, for whoever hears one button after the other and sees no rows.
function button(text, about, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", `${text}: ${about}`);
  made.addEventListener("click", () => doing(act));
  return made;
}

// Of what cannot be taken back: the first click says what it does, the second does it.
function buttonTwice(text, about, warning, act) {
  const made = button(text, about, async () => {
    if (made.textContent === warning) return act();
    made.textContent = warning;
    made.setAttribute("aria-label", `${warning}: ${about}`);
  });
  return made;
}

const at = (text) => (text ? new Date(text).toLocaleString() : "–");

// What the API answers; a problem is thrown in its own words.
async function call(method, path, body) {
  const headers = {Authorization: `Bearer ${key}`};
  if (method !== "GET") headers["Idempotency-Key"] = crypto.randomUUID();
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {method, headers, body: body && JSON.stringify(body)});
  const told = await answer.json();
  if (answer.ok) return told;
  if (answer.status === 401) throw new Error("That key is not valid, or not any more. Ask whoever gave it to you for another.");
  const faults = (told.errors ?? []).map((error) => `${error.detail} ${error.fix}`);
  throw new Error(faults.length ? faults.join(" ") : `${told.detail} ${told.next_step}`);
}

async function doing(act) {
  say("…");
  try {
    say((await act()) ?? "");
  } catch (error) {
    say(error.message, true);
  }
}

function secret(made) {
  $("secret").hidden = false;
  $("secret").querySelector("code").textContent = made.secret;
}

function endpoint(each) {
  const path = `${PATH}/${each.endpoint_id}`;
  const change = (what) => async () => {
    await call("POST", `${path}/${what}`);
    await list();
  };
  const buttons = [
    button("Deliveries", each.url, () => { shown = each; return deliveries(); }),
    button("Test", each.url, async () => { await call("POST", `${path}/test`); return "A test event is on its way."; }),
    button("Rotate", each.url, async () => {
      secret(await call("POST", `${path}/rotate`));
      return "The secret before it goes on signing for a while.";
    }),
    each.state === "disabled"
      ? button("Enable", each.url, change("enable"))
      : buttonTwice("Disable", each.url, "Disable: what waits for it fails", change("disable")),
  ];
  const since = each.failing_since ? `, failing since ${at(each.failing_since)}` : "";
  const state = `${each.state}${each.disabled_reason ? ` (${each.disabled_reason})` : ""}${since}`;
  const well = each.state === "active" && !each.failing_since;
  return row(cell(each.url), cell(state, well ? "good" : "bad"), cell(each.events.join(", ")), cell(buttons));
}

async function list() {
  const {endpoints} = await call("GET", PATH);
  $("endpoints").replaceChildren(...endpoints.map(endpoint));
  $("none").hidden = endpoints.length > 0;
}

function delivery(each) {
  const path = each.links.self;
  const answer = each.last_error ?? each.last_status;
  const state = each.state === "due" ? `due, ${at(each.next_attempt_at)}` : each.failed_why ? `failed (${each.failed_why})` : each.state;
  const about = `${each.type}, ${at(each.happened_at)}`;
  const buttons = [
    button("Show", about, () => detail(path)),
    button("Send again", about, async () => {
      await call("POST", `${path}/replay`);
      await deliveries();
      return "It is due again.";
    }),
  ];
  const className = {delivered: "good", failed: "bad"}[each.state];
  return row(cell(at(each.happened_at)), cell(each.type), cell(state, className), cell(answer), cell(buttons));
}

async function deliveries(next) {
  const only = $("only").value;
  const page = await call("GET", next ?? `${shown.links.deliveries}${only ? `?state=${only}` : ""}`);
  const rows = page.deliveries.map(delivery);
  if (next) $("rows").append(...rows);
  else $("rows").replaceChildren(...rows);
  $("of").textContent = shown.url;
  $("deliveries").hidden = false;
  $("detail").hidden = true;
  $("more").hidden = page.next === null;
  $("more").onclick = () => doing(() => deliveries(page.next));
}

async function detail(path) {
  const told = await call("GET", path);
  const headers = Object.entries(told.request_headers).map(([name, value]) => `${name}: ${value}`);
  $("request").textContent = [...headers, "", told.request_body ?? ""].join("\n");
  $("attempts").replaceChildren(...told.attempts.map((each) => row(
    cell(at(each.started_at)), cell(`${Math.round(each.seconds * 1000)} ms`), cell(each.status), cell(each.error ?? each.response),
  )));
  $("detail").hidden = false;
}

function choice(kind) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  Object.assign(box, {type: "checkbox", name: kind.type, checked: true});
  label.append(box, ` ${kind.type}`);
  label.title = kind.description;
  return label;
}

function on(id, act) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    doing(act);
  });
}

on("ask", async () => {
  key = $("key").value.trim();
  await list();
  $("key").value = "";
  const {event_types: kinds} = await call("GET", "/v1/event-types");
  $("events").replaceChildren(...kinds.filter((kind) => kind.chosen).map(choice));
  $("ask").hidden = true;
  document.querySelector("main").hidden = false;
});
on("create", async () => {
  const events = [...$("events").querySelectorAll("input:checked")].map((box) => box.name);
  secret(await call("POST", PATH, {url: $("url").value, payload: $("payload").value, events}));
  $("url").value = "";
  $("new").open = false;
  await list();
  return "A test event is on its way; it is sent nothing else until it has answered that.";
});
on("filter", () => deliveries());
on("replay", async () => {
  const since = new Date($("since").value).toISOString();
  const {replayed, next_since: rest, archived} = await call("POST", `${PATH}/${shown.endpoint_id}/replay`, {since, only_failed: $("failed").checked});
  await deliveries();
  const more = rest ? `; there are more since ${at(rest)}` : "";
  return `${replayed} are due again${more}.${archived ? " Events of archived bookings are not sent again." : ""}`;
});
