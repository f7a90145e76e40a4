// The picture: lanes from top to bottom, time from left to right.

const GUTTER = 150;
const AXIS = 36;
const STRIP = 24;
const NEAR = 9;
const picture = document.getElementById("picture");
const overview = document.getElementById("overview");
// From and to are positions on the axis; what is seen of it, in time, is in `seen`.
const view = { from: 0, to: lastMoment, scroll: 0, selected: null };
let seen = { from: 0, to: lastMoment };
let colours = {};
let queued = false;

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["page", "panel", "ink", "soft", "line", "lane", "stay", "request", "answer",
    "refused", "tick", "feed", "broker", "status", "log", "bad", "band", "phase", "pick", "strip"];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name)]));
}

function redraw() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    draw();
    drawOverview();
  });
}

// A context in which a unit is a pixel of the page.
function context(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(scale, 0, 0, scale, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return { ctx, width, height };
}

// Where things are, as long as the size and the filter stay the same.
function layout() {
  const [width, height] = [picture.clientWidth, picture.clientHeight];
  // Strips beyond a third of the height are reached by scrolling.
  const strips = Math.min(shown.strips.length * STRIP, (height - AXIS) / 3);
  const room = height - AXIS - strips - 16;
  const lane = Math.min(76, Math.max(22, room / Math.max(1, shown.lanes.length)));
  const content = shown.lanes.length * lane + shown.strips.length * STRIP + 12;
  const scrollMax = Math.max(0, content - (height - AXIS));
  view.scroll = Math.min(Math.max(0, view.scroll), scrollMax);
  const row = new Map(shown.lanes.map((at, position) => [at, position]));
  const top = AXIS - view.scroll;
  return {
    width, height, lane, scrollMax, span: width - GUTTER - 14,
    y: (at) => top + (row.get(at) + 0.5) * lane,
    strips: top + shown.lanes.length * lane + 12,
  };
}

// An event's height in its lane.
function yOf(place, event) {
  const { size } = event.pile ?? { size: 1 };
  if (size === 1) return place.y(event.lane);
  const gap = Math.min(13, (place.lane - 6) / size);
  return place.y(event.lane) + (event.inPile - (size - 1) / 2) * gap;
}

function xOf(place, t) {
  return GUTTER + ((uOf(t) - view.from) / (view.to - view.from)) * place.span;
}

const uAt = (place, x) => view.from + ((x - GUTTER) / place.span) * (view.to - view.from);
const tOf = (place, x) => timeAt(uAt(place, x));

function draw() {
  const { ctx, width, height } = context(picture);
  const place = layout();
  seen = { from: timeAt(view.from), to: timeAt(view.to) };
  ctx.font = '11px system-ui, "DejaVu Sans", sans-serif';
  ctx.textBaseline = "middle";
  ctx.save();
  ctx.beginPath();
  ctx.rect(GUTTER, AXIS, width - GUTTER, height - AXIS);
  ctx.clip();
  drawLanes(ctx, place);
  drawFolds(ctx, place);
  drawBands(ctx, place);
  drawMessages(ctx, place);
  drawEvents(ctx, place);
  drawStrips(ctx, place);
  drawMarks(ctx, place);
  ctx.restore();
  drawAxis(ctx, place);
  drawFlag(ctx, place);
  drawGutter(ctx, place);
}

function drawLanes(ctx, place) {
  shown.lanes.forEach((at, position) => {
    if (position % 2 === 0) {
      ctx.fillStyle = colours.lane;
      ctx.fillRect(GUTTER, place.y(at) - place.lane / 2, place.width, place.lane);
    }
    ctx.strokeStyle = colours.line;
    ctx.lineWidth = 1;
    line(ctx, GUTTER, place.y(at), place.width, place.y(at));
  });
  ctx.strokeStyle = colours.stay;
  ctx.lineWidth = 5;
  for (const [lane, from, to] of data.stays) {
    if (laneIsShown(lane) && to >= seen.from && from <= seen.to) {
      line(ctx, xOf(place, from), place.y(lane), xOf(place, to), place.y(lane));
    }
  }
}

function drawBands(ctx, place) {
  for (const band of data.bands) {
    if (!laneIsShown(band.lane) || band.to < seen.from || band.from > seen.to) continue;
    const [left, right] = [xOf(place, band.from), xOf(place, band.to)];
    const [top, tall] = [place.y(band.lane) - place.lane / 2 + 1, place.lane - 2];
    ctx.fillStyle = colours.band;
    ctx.globalAlpha = 0.22;
    ctx.fillRect(left, top, Math.max(3, right - left), tall);
    ctx.globalAlpha = 1;
    ctx.fillRect(left, top, 2, tall);
    if (right - left > 60) {
      ctx.textAlign = "left";
      ctx.fillText(fitted(ctx, band.label, right - left - 10), Math.max(left, GUTTER) + 6, top + 7);
    }
  }
}

// The two parts of a message's way, in to the gateway and out of it. Its moments there are not
// observed: it is drawn to have been under way as long as messages are on the average.
function way(place, message) {
  const { from, to, kind } = message;
  const point = (lane, t) => [xOf(place, t), place.y(lane)];
  if (kind === "command") {
    const [out, back] = [from.t - data.latencyUs, to.t + data.latencyUs];
    return [[point(GATEWAY, out), [xOf(place, from.t), yOf(place, from)]],
      [[xOf(place, to.t), yOf(place, to)], point(GATEWAY, back)]];
  }
  const under = Math.min(data.latencyUs, (to.t - from.t) / 2);
  return [[[xOf(place, from.t), yOf(place, from)], point(GATEWAY, from.t + under)],
    [point(GATEWAY, to.t - under), [xOf(place, to.t), yOf(place, to)]]];
}

function drawMessages(ctx, place) {
  const visible = messagesBetween(seen.from, seen.to);
  const alpha = visible.length < 150 ? 0.75 : visible.length < 800 ? 0.35 : 0.14;
  const heads = visible.length < 400;
  const picked = [];
  ctx.lineWidth = 1;
  for (const message of visible) {
    if (message.from.id === view.selected || message.to.id === view.selected) {
      picked.push(message);
      continue;
    }
    const faint = message.kind === "tick" || message.kind === "order";
    ctx.globalAlpha = faint ? alpha * 0.6 : alpha;
    ctx.strokeStyle = ctx.fillStyle = colours[message.to.colour];
    for (const [start, end] of way(place, message)) arrow(ctx, start, end, heads);
  }
  ctx.globalAlpha = 1;
  ctx.lineWidth = 2;
  ctx.strokeStyle = ctx.fillStyle = colours.pick;
  for (const message of picked) {
    const [first, second] = way(place, message);
    arrow(ctx, ...first, true);
    arrow(ctx, ...second, true);
    // Between them somebody waits.
    ctx.setLineDash([3, 3]);
    line(ctx, ...first[1], ...second[0]);
    ctx.setLineDash([]);
  }
}

function drawEvents(ctx, place) {
  const visible = eventsBetween(seen.from, seen.to);
  const crowded = visible.length > 1500;
  const size = Math.min(crowded ? 3 : 5, Math.max(2.5, place.lane / 8));
  const drawn = new Map();
  for (const event of visible) {
    const x = xOf(place, event.t);
    if (crowded) {
      // Of those that would lie on one another, one of each colour is enough.
      const key = event.lane + event.colour;
      if (x - (drawn.get(key) ?? -9) < 1) continue;
      drawn.set(key, x);
    }
    glyph(ctx, event, x, yOf(place, event), event.pile?.size > 1 ? Math.min(size, 4) : size);
  }
  if (visible.length < 400) drawLabels(ctx, place, visible);
}

function drawMarks(ctx, place) {
  const vertical = (t, colour, dash, wide) => {
    ctx.strokeStyle = colour;
    ctx.lineWidth = wide;
    ctx.setLineDash(dash);
    line(ctx, xOf(place, t), AXIS, xOf(place, t), place.height);
    ctx.setLineDash([]);
  };
  for (const [t] of data.phases) vertical(t, colours.phase, [2, 4], 1);
  if (!data.end.passed) vertical(data.end.atUs, colours.bad, [], 2);
  const broke = events[data.end.event];
  if (broke && laneIsShown(broke.lane)) ring(ctx, place, broke, colours.bad, 11);
  const picked = events[view.selected];
  if (picked && laneIsShown(picked.lane)) ring(ctx, place, picked, colours.pick, 8);
}

function ring(ctx, place, event, colour, radius) {
  ctx.strokeStyle = colour;
  ctx.lineWidth = 2.5;
  disc(ctx, xOf(place, event.t), yOf(place, event), radius, false);
}

// The name of what broke, at the upper end of its line.
function drawFlag(ctx, place) {
  const x = xOf(place, data.end.atUs);
  if (data.end.passed || x < GUTTER || x > place.width) return;
  const wide = ctx.measureText(data.end.label).width + 12;
  const left = Math.min(x, place.width - wide);
  ctx.fillStyle = colours.bad;
  ctx.fillRect(left, 1, wide, 17);
  ctx.fillRect(x - 1, 1, 2, AXIS);
  ctx.fillStyle = "#fff";
  ctx.textAlign = "left";
  ctx.fillText(data.end.label, left + 6, 10);
}

function drawGutter(ctx, place) {
  ctx.fillStyle = colours.panel;
  ctx.fillRect(0, AXIS, GUTTER, place.height);
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, AXIS, GUTTER, place.height);
  ctx.clip();
  ctx.strokeStyle = colours.line;
  line(ctx, GUTTER - 0.5, 0, GUTTER - 0.5, place.height);
  ctx.textAlign = "right";
  for (const at of shown.lanes) {
    ctx.fillStyle = data.lanes[at].kind === "client" ? colours.ink : colours.broker;
    ctx.fillText(fitted(ctx, data.lanes[at].name, GUTTER - 14), GUTTER - 8, place.y(at));
  }
  ctx.fillStyle = colours.strip;
  shown.strips.forEach((strip, at) => {
    const y = place.strips + (at + 0.5) * STRIP;
    ctx.fillText(fitted(ctx, strip.label, GUTTER - 14), GUTTER - 8, y);
  });
  ctx.restore();
  ctx.textAlign = "right";
  ctx.fillStyle = colours.soft;
  ctx.fillText("simulated time", GUTTER - 8, AXIS - 13);
  if (place.scrollMax > 0) {
    const room = place.height - AXIS;
    const tall = (room * room) / (room + place.scrollMax);
    const top = AXIS + (view.scroll / place.scrollMax) * (room - tall);
    ctx.fillStyle = colours.stay;
    ctx.fillRect(place.width - 5, top, 4, tall);
  }
}

// The shown event that is nearest to a point of the picture, if one is near.
function eventAt(x, y) {
  const place = layout();
  if (x < GUTTER || y < AXIS) return null;
  let [best, least] = [null, NEAR];
  for (const event of eventsBetween(tOf(place, x - NEAR), tOf(place, x + NEAR))) {
    const far = Math.hypot(xOf(place, event.t) - x, (yOf(place, event) - y) * 0.9);
    // Of those in one place, the last: it is drawn on top.
    if (far <= least) [best, least] = [event, far];
  }
  return best;
}

function bandAt(x, y) {
  const place = layout();
  const [from, to] = [tOf(place, x - 3), tOf(place, x + 3)];
  return data.bands.find((band) => laneIsShown(band.lane) &&
    to >= band.from && from <= band.to &&
    Math.abs(place.y(band.lane) - y) < place.lane / 2);
}
