// The signs of events, and the words beside them.

// Words beside events, above and below the lane in turn, where there is room for them.
function drawLabels(ctx, place, visible) {
  const ends = new Map();
  const next = new Map();
  const rows = place.lane >= 44 ? [-1, 1] : [-1];
  ctx.textAlign = "left";
  const labelled = visible.filter((event) => event.kind !== "Status" && event.kind !== "Phase");
  for (let at = labelled.length - 1; at >= 0; at -= 1) {
    // With two rows the next event's words do not stand in the way, the ones after it do.
    const event = labelled[at];
    const coming = next.get(event.lane) ?? [];
    const later = coming.filter((other) => other.t > event.t);
    const alone = event.pile.size === 1 && (later[0]?.pile.size ?? 1) === 1;
    const limit = later[alone ? rows.length - 1 : 0];
    event.limit = limit ? xOf(place, limit.t) : place.width;
    next.set(event.lane, [event, ...coming].slice(0, 8));
  }
  for (const event of labelled) {
    const x = xOf(place, event.t) + 6;
    if (event.pile.size > 1) {
      drawPiled(ctx, place, event, x, ends);
      continue;
    }
    for (const row of rows) {
      const key = event.lane + " " + row;
      const room = event.limit - x;
      if (x < (ends.get(key) ?? 0) || room < 40) continue;
      const words = fitted(ctx, brief(event), Math.min(room, 260));
      ctx.fillStyle = colours[event.colour];
      ctx.fillText(words, x, place.y(event.lane) + row * Math.min(14, place.lane / 2 - 6));
      ends.set(key, x + ctx.measureText(words).width + 8);
      break;
    }
  }
}

// Beside its event, if the pile is loose enough to be read.
function drawPiled(ctx, place, event, x, ends) {
  const loose = (place.lane - 6) / event.pile.size >= 11;
  const taken = Math.max(ends.get(event.lane + " -1") ?? 0, ends.get(event.lane + " 1") ?? 0);
  if ((!loose && event.inPile > 0) || x < taken || event.limit - x < 40) return;
  const more = loose ? "" : `${event.pile.size}: `;
  const words = fitted(ctx, more + brief(event), Math.min(event.limit - x, 300));
  ctx.fillStyle = colours[event.colour];
  ctx.fillText(words, x + 2, loose ? yOf(place, event) : place.y(event.lane) - place.lane / 2 + 6);
}

// Without the sign of its direction, and without the module that logged it.
const brief = (event) => event.text.replace(/^(->|<-|<=|=>) |^[A-Z]+ tickgate\S*: /, "");

function glyph(ctx, event, x, y, size) {
  const colour = colours[event.colour];
  ctx.fillStyle = ctx.strokeStyle = colour;
  ctx.lineWidth = 1.5;
  switch (event.kind) {
    case "Tick": case "OrderUpdate": case "Status": case "Published": case "PublishedOrder":
      ctx.fillRect(x - 0.75, y - size, 1.5, size * 2);
      break;
    case "Sent":
      disc(ctx, x, y, size, event.links.length > 0);
      break;
    case "Called": case "TookEffect": case "Replied":
      ctx.save();
      ctx.translate(x, y);
      ctx.rotate(Math.PI / 4);
      ctx.fillRect(-size * 0.75, -size * 0.75, size * 1.5, size * 1.5);
      ctx.restore();
      break;
    case "Leaves": case "Lost": case "BrokerDied": case "SessionLost": case "Unexpected":
      line(ctx, x - size, y - size, x + size, y + size);
      line(ctx, x - size, y + size, x + size, y - size);
      break;
    case "Connected": case "Greeted": case "Stopped":
      ctx.fillRect(x - size * 0.8, y - size * 0.8, size * 1.6, size * 1.6);
      break;
    default:
      disc(ctx, x, y, size * 0.8, true);
  }
}

function disc(ctx, x, y, radius, filled) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 7);
  if (filled) ctx.fill();
  else ctx.stroke();
}

function line(ctx, x1, y1, x2, y2) {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}

function arrow(ctx, [x1, y1], [x2, y2], head) {
  line(ctx, x1, y1, x2, y2);
  const length = Math.hypot(x2 - x1, y2 - y1);
  if (!head || length < 12) return;
  const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
  // The tip stays clear of the event.
  const [x, y] = [x2 - dx * 4, y2 - dy * 4];
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x - dx * 7 - dy * 3, y - dy * 7 + dx * 3);
  ctx.lineTo(x - dx * 7 + dy * 3, y - dy * 7 - dx * 3);
  ctx.fill();
}

function fitted(ctx, text, room) {
  if (ctx.measureText(text).width <= room) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ctx.measureText(text.slice(0, middle) + "…").width <= room) low = middle;
    else high = middle - 1;
  }
  return low > 0 ? text.slice(0, low) + "…" : "";
}
