"use strict";
// What happened, indexed so that a part of it is found without looking at all of it.

const data = JSON.parse(document.getElementById("data").textContent);

// Kinds of events that belong together, with the colour they have. `other` takes the rest.
const GROUPS = {
  requests: { title: "requests", colour: "request", kinds: ["Sent", "Answered"] },
  broker: { title: "broker", colour: "broker", kinds: ["Called", "TookEffect", "Replied"] },
  ticks: { title: "ticks", colour: "tick", kinds: ["Tick", "Published"] },
  orders: { title: "orders", colour: "feed", kinds: ["OrderUpdate", "PublishedOrder"] },
  status: { title: "status pages", colour: "status", kinds: ["Status"] },
  log: { title: "log", colour: "log", kinds: ["LogINFO", "LogWARN", "LogERROR"] },
  other: { title: "comings, goings, faults", colour: "ink", kinds: [] },
};
const COLOURS = {
  Sent: "request", Answered: "answer", Called: "broker", TookEffect: "broker", Replied: "broker",
  Tick: "tick", Published: "feed", OrderUpdate: "tick", PublishedOrder: "feed",
  Status: "status", LogINFO: "log", LogWARN: "log", LogERROR: "bad", Phase: "phase",
  Lost: "bad", Unexpected: "bad", Stuck: "bad", SessionLost: "band", BrokerDied: "band",
  Invalidated: "band", Struck: "band", Lied: "band", Forgot: "band",
};
const GROUP_OF = {};
for (const [name, group] of Object.entries(GROUPS)) {
  for (const kind of group.kinds) GROUP_OF[kind] = name;
}

const events = data.events.map(([t, lane, kind, text, topics], id) => {
  const refused = kind === "Answered" && / refused |ERROR|TIMEOUT/.test(text);
  const colour = refused ? "refused" : COLOURS[kind] || "ink";
  return { id, t, lane, kind, text, topics, colour, group: GROUP_OF[kind] || "other", links: [] };
});
const messages = data.messages.map(([from, to, kind]) => {
  events[from].links.push(to);
  events[to].links.push(from);
  return { from: events[from], to: events[to], kind };
});
const longestMessage = messages.reduce((most, m) => Math.max(most, m.to.t - m.from.t), 0);
const lastMoment = Math.max(data.end.atUs, events.length ? events[events.length - 1].t : 0, 1);
const laneOf = (name) => data.lanes.findIndex((lane) => lane.name === name);
const GATEWAY = laneOf("gateway");

// What is shown of it.
const filter = { client: "", topic: "", text: "", hidden: new Set() };
let shown = { events, messages, lanes: data.lanes.map((_, at) => at), strips: data.strips };

function topicMatches(topic, wanted) {
  const instrument = (text) => text.split("/")[0];
  if (topic === wanted) return true;
  // A mention without a mode is about all modes, and so is a filter without one.
  const loose = !topic.includes("/") || !wanted.includes("/");
  return loose && instrument(topic) === instrument(wanted);
}

function laneIsShown(at) {
  const lane = data.lanes[at];
  return !filter.client || lane.kind !== "client" || lane.name === filter.client ||
    lane.name.replace(/-\d+$/, "") === filter.client;
}

function applyFilter() {
  const wanted = new Set();
  data.topics.forEach((topic, at) => {
    if (filter.topic && topicMatches(topic, filter.topic)) wanted.add(at);
  });
  const text = filter.text.toLowerCase();
  const passes = (event) =>
    !filter.hidden.has(event.group) && laneIsShown(event.lane) && concerns(event) &&
    (!filter.topic || event.group === "other" || event.topics.some((at) => wanted.has(at))) &&
    (!text || event.text.toLowerCase().includes(text));
  const broke = data.end.event;
  const kept = events.filter((event) => passes(event) || event.id === broke);
  const set = new Set(kept.map((event) => event.id));
  stack(kept);
  shown = {
    events: kept,
    messages: messages.filter((m) => set.has(m.to.id) || set.has(m.from.id))
      .filter((m) => laneIsShown(m.to.lane) && laneIsShown(m.from.lane))
      .filter((m) => !filter.hidden.has(m.to.group)),
    lanes: data.lanes.map((_, at) => at).filter(laneIsShown),
    strips: data.strips.filter((strip) =>
      (!filter.topic || topicMatches(strip.topic, filter.topic)) &&
      (!filter.client ||
        strip.label.startsWith(filter.client.replace(/-\d+$/, "") + " "))),
  };
}

// Whether an event of the broker or the feed has to do with the chosen client.
function concerns(event) {
  if (!filter.client) return true;
  if (event.group === "broker") {
    return event.text.includes(` ${filter.client.replace(/-\d+$/, "")}/s`);
  }
  const published = event.kind === "Published" || event.kind === "PublishedOrder";
  return !published || event.links.some((id) => laneIsShown(events[id].lane));
}

// Those that one actor sees at one moment stand below one another.
function stack(kept) {
  const last = new Map();
  for (const event of kept) {
    const group = last.get(event.lane);
    if (group && group.t === event.t) {
      event.pile = group;
      event.inPile = group.size;
      group.size += 1;
    } else {
      event.pile = { t: event.t, size: 1 };
      event.inPile = 0;
      last.set(event.lane, event.pile);
    }
  }
}

// The first position in a sorted list whose value is not below `bound`.
function lowerBound(list, value, bound) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value(list[middle]) < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

function eventsBetween(from, to) {
  const first = lowerBound(shown.events, (event) => event.t, from);
  const end = lowerBound(shown.events, (event) => event.t, to + 1);
  return shown.events.slice(first, end);
}

function messagesBetween(from, to) {
  // They are in the order of their arrival.
  const first = lowerBound(shown.messages, (m) => m.to.t, from);
  const end = lowerBound(shown.messages, (m) => m.to.t, to + longestMessage + 1);
  const found = [];
  for (let at = first; at < end; at += 1) {
    if (shown.messages[at].from.t <= to) found.push(shown.messages[at]);
  }
  return found;
}

const ms = (us) => (us / 1000).toFixed(3);
const laneName = (event) => data.lanes[event.lane].name;
