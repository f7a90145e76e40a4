// A fan-out on `ws`, as its users write one: each tick is parsed once, put into one envelope, and
// sent to one client after another. Of the protocol it speaks what `tickgate bench` needs.
"use strict";

const { WebSocketServer, WebSocket } = require("ws");
const zmq = require("zeromq");

const MODES = { LTP: 1, QUOTE: 2, DEPTH: 3 };
// `EXCHANGE:SYMBOL:MODE` to who wants it.
const audiences = new Map();

function answer(client, request) {
  switch (request.action) {
    case "authenticate":
      return { type: "auth", status: "success", user_id: "alice", broker: "paper" };
    case "subscribe":
    case "unsubscribe": {
      const subscriptions = request.symbols.map(({ symbol, exchange }) => {
        const key = `${exchange}:${symbol}:${request.mode}`;
        if (request.action === "subscribe") {
          if (!audiences.has(key)) audiences.set(key, new Set());
          audiences.get(key).add(client);
          client.held.add(key);
        } else {
          audiences.get(key)?.delete(client);
          client.held.delete(key);
        }
        return { symbol, exchange, status: "success", mode: request.mode, broker: "paper" };
      });
      return { type: request.action, status: "success", subscriptions };
    }
    default:
      return { status: "error", code: "INVALID_ACTION", message: String(request.action) };
  }
}

async function relay(bus) {
  for await (const [topic, payload] of bus) {
    const parts = topic.toString().split("_");
    const mode = MODES[parts.at(-1)];
    const [exchange, symbol] = [parts[0], parts.slice(1, -1).join("_")];
    const clients = audiences.get(`${exchange}:${symbol}:${mode}`);
    if (!clients || clients.size === 0) continue;
    const data = JSON.parse(payload.toString());
    const tick = { type: "market_data", symbol, exchange, mode, broker: "paper", data };
    const message = JSON.stringify(tick);
    for (const client of clients) {
      if (client.readyState === WebSocket.OPEN) client.send(message);
    }
  }
}

async function main() {
  const bus = new zmq.Subscriber();
  await bus.bind("tcp://127.0.0.1:*");
  bus.subscribe("");
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 4096 });
  server.on("connection", (client) => {
    client.held = new Set();
    client.on("message", (text) => {
      const request = JSON.parse(text.toString());
      const said = answer(client, request);
      if (request.request_id !== undefined) said.request_id = request.request_id;
      client.send(JSON.stringify(said));
    });
    client.on("error", () => client.terminate());
    client.on("close", () => client.held.forEach((key) => audiences.get(key)?.delete(client)));
  });
  await new Promise((listening) => server.once("listening", listening));
  console.log(`clients ws://127.0.0.1:${server.address().port}`);
  console.log(`publishers ${bus.lastEndpoint}`);
  await relay(bus);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
