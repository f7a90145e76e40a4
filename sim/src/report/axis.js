// Time along the picture: as it is, or with what is idle folded, so that a few events far apart
// can be read together. A position on it is called `u`.

const FOLD_BELOW = 300;
const axis = { folded: false, ts: [], us: [], gaps: [] };

function fold(on) {
  axis.folded = on;
  axis.gaps = [];
  if (!on) {
    axis.ts = axis.us = [0, lastMoment];
    return;
  }
  const busy = events.filter((event) => event.kind !== "Status");
  const moments = new Set([0, ...busy.map((event) => event.t), lastMoment]);
  axis.ts = [...moments].sort((a, b) => a - b);
  const gaps = axis.ts.slice(1).map((t, at) => t - axis.ts[at]);
  const usual = [...gaps].sort((a, b) => a - b).slice(0, Math.ceil(gaps.length * 0.8));
  const most = 2.5 * (usual.reduce((sum, gap) => sum + gap, 0) / Math.max(1, usual.length)) + 1;
  axis.us = [0];
  gaps.forEach((gap, at) => {
    const long = gap > most * 2;
    // A longer silence still takes more room than a shorter one.
    const taken = long ? most * (1 + 0.12 * Math.log2(gap / most)) : gap;
    axis.us.push(axis.us[at] + taken);
    if (long) axis.gaps.push([axis.ts[at], axis.ts[at + 1]]);
  });
}

// Where a value of one scale is on the other; beyond the ends as at the ends.
function along(from, to, value) {
  const at = Math.min(Math.max(lowerBound(from, (v) => v, value), 1), from.length - 1);
  const share = (value - from[at - 1]) / (from[at] - from[at - 1]);
  return to[at - 1] + share * (to[at] - to[at - 1]);
}

const uOf = (t) => (axis.folded ? along(axis.ts, axis.us, t) : t);
const timeAt = (u) => (axis.folded ? along(axis.us, axis.ts, u) : u);
const lastU = () => uOf(lastMoment);

function drawFolds(ctx, place) {
  for (const [from, to] of axis.gaps) {
    const [left, right] = [xOf(place, from) + 3, xOf(place, to) - 3];
    if (right < GUTTER || left > place.width || right <= left) continue;
    ctx.globalAlpha = 0.07;
    ctx.fillStyle = colours.ink;
    ctx.fillRect(left, AXIS, right - left, place.height);
    ctx.globalAlpha = 1;
  }
}

function drawAxis(ctx, place) {
  ctx.fillStyle = colours.panel;
  ctx.fillRect(0, 0, place.width, AXIS);
  ctx.strokeStyle = colours.line;
  ctx.lineWidth = 1;
  line(ctx, 0, AXIS - 0.5, place.width, AXIS - 0.5);
  ctx.textAlign = "center";
  ctx.fillStyle = colours.soft;
  let free = GUTTER - 1;
  for (const [t, words] of axis.folded ? foldedSteps() : evenSteps(place)) {
    const x = xOf(place, t);
    const half = ctx.measureText(words).width / 2 + 5;
    if (x < GUTTER - 1 || x > place.width || x - half < free - 2 * half * !axis.folded) continue;
    line(ctx, x, AXIS - 6, x, AXIS);
    if (x - half >= GUTTER - 2 * half) ctx.fillText(words, x, AXIS - 13);
    free = x + half;
  }
  drawIdle(ctx, place);
  drawPhases(ctx, place);
}

// Steps of 1, 2 or 5, about 90 pixels apart.
function evenSteps(place) {
  const rough = ((view.to - view.from) / place.span) * 90;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough));
  const steps = [];
  for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
    steps.push([t, step >= 1000 ? `${Math.round(t / 1000)} ms` : `${ms(t)} ms`]);
  }
  return steps;
}

// Where something happens.
const foldedSteps = () => axis.ts.map((t) => [t, `${t / 1000} ms`]);

function drawIdle(ctx, place) {
  ctx.fillStyle = colours.soft;
  for (const [from, to] of axis.gaps) {
    const [left, right] = [Math.max(GUTTER, xOf(place, from)), xOf(place, to)];
    const words = `${Math.round((to - from) / 1000)} ms idle`;
    if (right - left < ctx.measureText(words).width + 60 || left > place.width) continue;
    ctx.fillText(words, (left + Math.min(right, place.width)) / 2, AXIS + 10);
  }
}

function drawPhases(ctx, place) {
  ctx.textAlign = "left";
  let free = 0;
  data.phases.forEach(([t, name], at) => {
    const until = data.phases[at + 1]?.[0] ?? lastMoment;
    const left = Math.max(GUTTER + 3, xOf(place, t) + 3);
    const room = Math.min(place.width, xOf(place, until)) - left;
    if (room < 24 || left < free) return;
    ctx.fillStyle = colours.phase;
    ctx.fillText(fitted(ctx, name, room), left, 9);
    free = left + ctx.measureText(name).width + 6;
  });
}
