// The panel on the right: one event, or what the whole is about.

const details = document.getElementById("details");
const AROUND = 9;

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function showDetails() {
  const event = events[view.selected];
  details.replaceChildren(...(event ? eventDetails(event) : storyDetails()));
  details.dataset.event = event ? event.id : "";
  details.scrollTop = 0;
}

function eventDetails(event) {
  const parts = [element("h2", `event ${event.id} of ${events.length}`)];
  parts.push(element("p", `${laneName(event)} ${event.text}`, "what"));
  if (event.id === data.end.event) parts.push(element("p", data.end.text, "what bad"));
  parts.push(facts([
    ["at", `${ms(event.t)} ms`],
    ["in the story", event.t >= data.storyUs ? `${ms(event.t - data.storyUs)} ms` : "before it"],
    ["seen by", laneName(event)],
    ["kind", event.kind],
    ["topics", event.topics.map((at) => data.topics[at]).join(", ")],
  ]));
  if (event.kind === "Sent" && event.links.length === 0) {
    parts.push(element("p", "This request is never answered here.", "bad"));
  }
  if (event.links.length > 0) {
    parts.push(element("h2", "the other end"));
    const far = (other) => ` (${other.t >= event.t ? "+" : "-"}${ms(Math.abs(other.t - event.t))})`;
    for (const id of event.links) parts.push(link(events[id], far(events[id])));
  }
  const at = lowerBound(shown.events, (other) => other.id, event.id);
  parts.push(element("h2", "around it"));
  for (const other of shown.events.slice(Math.max(0, at - AROUND), at + AROUND + 1)) {
    parts.push(link(other, ""));
  }
  return parts;
}

function storyDetails() {
  const parts = [element("h2", "how it ended")];
  parts.push(element("p", data.end.text, data.end.passed ? "what" : "what bad"));
  if (data.end.event !== null) parts.push(link(events[data.end.event], ""));
  parts.push(facts([
    ["events", events.length],
    ["messages", messages.length],
    ["clients", data.lanes.filter((lane) => lane.kind === "client").length],
    ["took", `${ms(lastMoment)} ms`],
    ["seed", data.seed],
  ]));
  if (data.bands.length > 0) {
    parts.push(element("h2", "what went wrong on purpose"));
    for (const band of data.bands.slice(0, 40)) {
      const words = `${ms(band.from)} ${data.lanes[band.lane].name} ${band.label}`;
      const button = element("button", words, "go");
      button.onclick = () => showAround(band.from, Math.max(band.to - band.from, 40000) * 2);
      parts.push(button);
    }
  }
  parts.push(element("h2", "the plan: cargo sim run plays it"));
  parts.push(element("pre", data.plan));
  return parts;
}

function facts(rows) {
  const list = element("dl");
  for (const [name, value] of rows) {
    if (value === "") continue;
    list.append(element("dt", name), element("dd", String(value)));
  }
  return list;
}

function link(event, more) {
  const button = element("button", `${ms(event.t)} ${laneName(event)} ${event.text}${more}`, "go");
  button.title = event.text;
  if (event.id === view.selected) button.classList.add("here");
  button.onclick = () => select(event.id, true);
  return button;
}
