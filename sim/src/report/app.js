// What the user does: zoom, move, pick, filter.

const tip = document.getElementById("tip");
const find = (id) => document.getElementById(id);
const SPAN_MIN = 200;

function show(from, to) {
  const most = lastU() * 1.1 + SPAN_MIN;
  const span = Math.min(Math.max(to - from, SPAN_MIN), most);
  const start = Math.min(Math.max(from, -span * 0.2), lastU() + span * 0.2 - span);
  [view.from, view.to] = [start, start + span];
  redraw();
  remember();
}

const showAll = () => show(-lastU() * 0.02, lastU() * 1.03);
// What comes before the story is of interest to nobody at first.
function showStory() {
  const began = uOf(data.storyUs);
  const span = lastU() - began;
  show(began - span * 0.03, lastU() + span * 0.1);
}
const showAround = (t, span) => show(uOf(t) - span / 2, uOf(t) + span / 2);

function zoom(factor, u) {
  const span = view.to - view.from;
  const wanted = Math.min(Math.max(span * factor, SPAN_MIN), lastU() * 1.1 + SPAN_MIN);
  const share = (u - view.from) / span;
  show(u - wanted * share, u + wanted * (1 - share));
}

function foldIdle(on) {
  find("fold").checked = on;
  fold(on);
  showStory();
}

function select(id, bringIntoView) {
  view.selected = id;
  const event = events[id];
  if (event && bringIntoView) {
    const span = view.to - view.from;
    const u = uOf(event.t);
    if (u < view.from || u > view.to) showAround(event.t, span);
    const place = layout();
    if (laneIsShown(event.lane)) {
      const y = place.y(event.lane);
      if (y < AXIS + 10) view.scroll -= AXIS + 30 - y;
      if (y > place.height - 10) view.scroll += y - place.height + 30;
    }
  }
  showDetails();
  redraw();
  remember();
}

// From event to event among those that are shown.
function step(by) {
  if (shown.events.length === 0) return;
  const from = view.selected ?? -1;
  let at = lowerBound(shown.events, (event) => event.id, from);
  if (view.selected === null) at = lowerBound(shown.events, (event) => event.t, timeAt(view.from));
  else if (by > 0 && shown.events[at]?.id !== from) at -= 1;
  const next = view.selected === null ? at : at + by;
  select(shown.events[Math.min(Math.max(next, 0), shown.events.length - 1)].id, true);
}

function goToViolation() {
  const [u, span] = [uOf(data.end.atUs), Math.min(lastU(), 120000)];
  show(u - span * 0.75, u + span * 0.25);
  if (data.end.event !== null) select(data.end.event, true);
}

// The place is kept in the address, so that it can be passed on.
let remembering = 0;
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    const [from, to] = [timeAt(view.from), timeAt(view.to)];
    const words = [`from=${Math.round(from)}`, `to=${Math.round(to)}`];
    if (view.selected !== null) words.push(`select=${view.selected}`);
    if (filter.client) words.push(`client=${encodeURIComponent(filter.client)}`);
    if (filter.topic) words.push(`topic=${encodeURIComponent(filter.topic)}`);
    history.replaceState(null, "", "#" + words.join("&"));
  }, 300);
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  for (const name of ["client", "topic"]) {
    if (words.has(name)) find(name).value = filter[name] = words.get(name);
  }
  filtered();
  foldIdle(events.length < FOLD_BELOW);
  if (words.has("from") && words.has("to")) {
    show(uOf(Number(words.get("from"))), uOf(Number(words.get("to"))));
  }
  const id = Number(words.get("select"));
  if (words.has("select") && events[id]) select(id, true);
}

function filtered() {
  applyFilter();
  const [some, all] = [shown.events.length, events.length];
  find("count").textContent = some === all ? `${all} events` : `${some} of ${all} events`;
  showDetails();
  redraw();
  remember();
}

function option(parent, value, text) {
  const made = element("option", text ?? value);
  made.value = value;
  parent.append(made);
}

function fillToolbar() {
  find("title").textContent = data.title;
  find("about").textContent = data.about;
  const badge = find("badge");
  badge.textContent = data.end.label;
  badge.classList.toggle("passed", data.end.passed);
  find("violation").hidden = data.end.passed;
  const clients = data.lanes.filter((lane) => lane.kind === "client").map((lane) => lane.name);
  const users = new Set(clients.map((name) => name.replace(/-\d+$/, "")));
  for (const user of users) option(find("client"), user, `${user} (all)`);
  for (const name of clients) option(find("client"), name);
  const instruments = new Set(data.topics.map((topic) => topic.split("/")[0]));
  for (const name of [...new Set([...instruments, ...data.topics])].sort()) {
    option(find("topic"), name);
  }
  for (const [name, group] of Object.entries(GROUPS)) {
    const label = element("label");
    const box = element("input");
    box.type = "checkbox";
    box.checked = true;
    box.onchange = () => {
      if (box.checked) filter.hidden.delete(name);
      else filter.hidden.add(name);
      filtered();
    };
    const dot = element("i");
    dot.style.background = `var(--${group.colour})`;
    label.append(box, dot, group.title);
    find("groups").append(label);
  }
}

function listenToToolbar() {
  find("client").onchange = (e) => { filter.client = e.target.value; filtered(); };
  find("topic").onchange = (e) => { filter.topic = e.target.value; filtered(); };
  find("text").oninput = (e) => { filter.text = e.target.value; filtered(); };
  find("fold").onchange = (e) => foldIdle(e.target.checked);
  find("fit").onclick = showAll;
  find("violation").onclick = goToViolation;
  find("closer").onclick = () => zoom(0.5, (view.from + view.to) / 2);
  find("wider").onclick = () => zoom(2, (view.from + view.to) / 2);
  find("theme").onclick = () => {
    const root = document.documentElement;
    const dark = getComputedStyle(root).colorScheme.includes("dark");
    root.dataset.theme = dark ? "light" : "dark";
    readColours();
    redraw();
  };
}

function listenToPicture() {
  let grabbed = null;
  picture.addEventListener("wheel", (e) => {
    e.preventDefault();
    const place = layout();
    if (e.shiftKey) {
      view.scroll += e.deltaY || e.deltaX;
      redraw();
    } else if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      const by = (e.deltaX / place.span) * (view.to - view.from);
      show(view.from + by, view.to + by);
    } else {
      zoom(Math.exp(Math.max(-200, Math.min(200, e.deltaY)) * 0.002), uAt(place, e.offsetX));
    }
  }, { passive: false });
  picture.addEventListener("pointerdown", (e) => {
    if (e.button !== 0) return;
    picture.setPointerCapture(e.pointerId);
    grabbed = { x: e.offsetX, y: e.offsetY, view: { ...view }, moved: false };
  });
  picture.addEventListener("pointermove", (e) => {
    if (!grabbed) {
      hover(e);
      return;
    }
    const [dx, dy] = [e.offsetX - grabbed.x, e.offsetY - grabbed.y];
    if (Math.hypot(dx, dy) < 4 && !grabbed.moved) return;
    grabbed.moved = true;
    picture.classList.add("moving");
    tip.hidden = true;
    const by = (-dx / layout().span) * (grabbed.view.to - grabbed.view.from);
    view.scroll = grabbed.view.scroll - dy;
    show(grabbed.view.from + by, grabbed.view.to + by);
  });
  picture.addEventListener("pointerup", (e) => {
    picture.classList.remove("moving");
    if (grabbed && !grabbed.moved) {
      const event = eventAt(e.offsetX, e.offsetY);
      select(event ? event.id : null, false);
    }
    grabbed = null;
  });
  picture.addEventListener("pointerleave", () => { tip.hidden = true; });
  picture.addEventListener("dblclick", (e) => zoom(0.3, uAt(layout(), e.offsetX)));
}

function hover(e) {
  const event = eventAt(e.offsetX, e.offsetY);
  const band = event ? null : bandAt(e.offsetX, e.offsetY);
  picture.classList.toggle("over", Boolean(event));
  tip.hidden = !event && !band;
  if (tip.hidden) return;
  const [head, text] = event
    ? [`${ms(event.t)} ms ${laneName(event)}`, event.text.slice(0, 400)]
    : [`${ms(band.from)} to ${ms(band.to)} ms ${data.lanes[band.lane].name}`, band.label];
  tip.replaceChildren(element("small", head), element("br"), element("b", text));
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(e.clientX + 14, innerWidth - box.width - 8))}px`;
  const above = e.clientY + 18 + box.height > innerHeight;
  tip.style.top = `${above ? e.clientY - box.height - 10 : e.clientY + 18}px`;
}

function listenToOverview() {
  const move = (e) => {
    if (e.buttons !== 1) return;
    const u = ((e.offsetX - GUTTER) / (overview.clientWidth - GUTTER - 14)) * lastU();
    const span = Math.min(view.to - view.from, lastU() / 4);
    show(u - span / 2, u + span / 2);
  };
  overview.addEventListener("pointerdown", (e) => {
    overview.setPointerCapture(e.pointerId);
    move(e);
  });
  overview.addEventListener("pointermove", move);
}

const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  "+": () => zoom(0.5, (view.from + view.to) / 2),
  "=": () => zoom(0.5, (view.from + view.to) / 2),
  "-": () => zoom(2, (view.from + view.to) / 2),
  0: showAll,
  v: () => { if (!data.end.passed) goToViolation(); },
  Escape: () => select(null, false),
};

addEventListener("keydown", (e) => {
  const typing = /^(INPUT|SELECT)$/.test(e.target.tagName) && e.target.type !== "checkbox";
  if (typing || e.ctrlKey || e.metaKey || e.altKey || !KEYS[e.key]) return;
  e.preventDefault();
  KEYS[e.key]();
});
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  redraw();
});

// For those who drive the page by program: where an event is, in pixels of the window.
window.report = {
  position(id) {
    const [place, box] = [layout(), picture.getBoundingClientRect()];
    const event = events[id];
    return { x: box.left + xOf(place, event.t), y: box.top + yOf(place, event) };
  },
  span: () => ({ from: timeAt(view.from), to: timeAt(view.to) }),
  shown: () => shown.events.map((event) => event.id),
  select,
};

readColours();
fillToolbar();
listenToToolbar();
listenToPicture();
listenToOverview();
recall();
