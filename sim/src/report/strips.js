// What stands beside the lanes: subscribers below them, the overview above.

// Subscribers of each topic: filled as the clients were told, outlined as the status page says.
function drawStrips(ctx, place) {
  shown.strips.forEach((strip, at) => {
    const bottom = place.strips + (at + 1) * STRIP - 4;
    const most = Math.max(1, ...strip.told.map((p) => p[1]), ...strip.page.map((p) => p[1]));
    const y = (count) => bottom - (count / most) * (STRIP - 8);
    ctx.strokeStyle = colours.line;
    ctx.lineWidth = 1;
    line(ctx, GUTTER, bottom, place.width, bottom);
    ctx.fillStyle = colours.strip;
    ctx.globalAlpha = 0.45;
    strip.told.forEach(([t, count], position) => {
      const until = strip.told[position + 1]?.[0] ?? lastMoment;
      if (until < seen.from || t > seen.to || count === 0) return;
      const [left, right] = [xOf(place, t), xOf(place, until)];
      ctx.fillRect(left, y(count), right - left, bottom - y(count));
    });
    ctx.globalAlpha = 1;
    ctx.fillStyle = colours.ink;
    for (const [t, count] of strip.page) {
      if (t >= seen.from && t <= seen.to) ctx.fillRect(xOf(place, t) - 1.5, y(count) - 1.5, 3, 3);
    }
    ctx.fillStyle = colours.soft;
    ctx.textAlign = "right";
    ctx.fillText("max " + most, place.width - 6, bottom - 8);
  });
}

// All of it, with what the picture shows.
function drawOverview() {
  const { ctx, width, height } = context(overview);
  const span = width - GUTTER - 14;
  const xAt = (u) => GUTTER + (u / lastU()) * span;
  const x = (t) => xAt(uOf(t));
  const bins = new Array(Math.max(1, Math.ceil(span / 3))).fill(0);
  for (const event of shown.events) {
    bins[Math.min(bins.length - 1, Math.floor((uOf(event.t) / lastU()) * bins.length))] += 1;
  }
  const most = Math.max(1, ...bins);
  ctx.fillStyle = colours.tick;
  bins.forEach((count, at) => {
    const tall = Math.sqrt(count / most) * (height - 8);
    ctx.fillRect(GUTTER + at * 3, height - tall, 2.4, tall);
  });
  ctx.fillStyle = colours.band;
  for (const band of data.bands) {
    ctx.fillRect(x(band.from), 0, Math.max(2, x(band.to) - x(band.from)), 4);
  }
  if (!data.end.passed) {
    ctx.fillStyle = colours.bad;
    ctx.fillRect(x(data.end.atUs) - 1, 0, 2, height);
  }
  ctx.fillStyle = colours.strip;
  ctx.globalAlpha = 0.16;
  const left = Math.max(GUTTER, xAt(view.from));
  const wide = Math.max(2, Math.min(width - 1, xAt(view.to)) - left);
  ctx.fillRect(left, 0, wide, height);
  ctx.globalAlpha = 1;
  ctx.strokeStyle = colours.strip;
  ctx.lineWidth = 1.5;
  ctx.strokeRect(left, 0.75, wide, height - 1.5);
  ctx.font = '11px system-ui, "DejaVu Sans", sans-serif';
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  ctx.fillStyle = colours.soft;
  ctx.fillText(`${events.length} events`, GUTTER - 8, height / 2);
}
