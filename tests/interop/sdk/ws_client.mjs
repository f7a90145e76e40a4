// npm's `ws`, speaking the wire protocol by hand.

import { createRequire } from "node:module";
import { join } from "node:path";

const modules = process.env.INTEROP_NODE_MODULES ?? "target/npm/node_modules";
const WebSocket = createRequire(join(modules, "resolve.cjs"))("ws");
const URL = process.env.INTEROP_WEBSOCKET ?? "ws://127.0.0.1:8765";
const API_KEY = process.env.INTEROP_API_KEY ?? "demo-key-for-local-use-only";
const SYMBOLS = ["RELIANCE", "M&M"];
const MODES = [1, 2, 3];

function check(condition, what) {
  if (!condition) {
    console.error("failed:", what);
    process.exit(1);
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A connection that keeps the ticks apart from the answers. */
class Client {
  constructor(socket) {
    this.socket = socket;
    this.ticks = [];
    this.answers = [];
    this.waiting = [];
    socket.on("message", (data, isBinary) => {
      check(!isBinary, "the server sent a binary frame");
      const message = JSON.parse(data.toString());
      if (message.type === "market_data") {
        this.ticks.push(message);
      } else if (this.waiting.length > 0) {
        this.waiting.shift()(message);
      } else {
        this.answers.push(message);
      }
    });
  }

  static async open() {
    const socket = new WebSocket(URL);
    const client = new Client(socket);
    await within(
      new Promise((resolve, reject) => {
        socket.once("open", resolve);
        socket.once("error", reject);
      }),
      5000,
      "connected",
    );
    socket.on("error", () => {});
    return client;
  }

  answer() {
    if (this.answers.length > 0) return Promise.resolve(this.answers.shift());
    return within(new Promise((resolve) => this.waiting.push(resolve)), 10000, "an answer");
  }

  ask(request, { binary = false } = {}) {
    const answer = this.answer();
    this.socket.send(Buffer.from(JSON.stringify(request)), { binary });
    return answer;
  }

  async untilAllTick() {
    for (let waited = 0; waited < 15000; waited += 50) {
      const seen = new Set(this.ticks.map((tick) => `${tick.mode} ${tick.symbol}`));
      const wanted = MODES.flatMap((mode) => SYMBOLS.map((symbol) => `${mode} ${symbol}`));
      if (wanted.every((topic) => seen.has(topic))) return;
      await sleep(50);
    }
    check(false, "not every topic ticks");
  }

  async ticksFor(ms) {
    this.ticks.length = 0;
    await sleep(ms);
    return this.ticks.splice(0);
  }
}

async function authenticate(client) {
  const wrong = await client.ask({ action: "authenticate", api_key: "wrong" });
  check(wrong.status === "error" && wrong.code === "AUTHENTICATION_ERROR", wrong);
  const auth = await client.ask({ action: "authenticate", api_key: API_KEY }, { binary: true });
  check(auth.type === "auth" && auth.status === "success" && auth.user_id === "alice", auth);
}

async function subscribeAll(client) {
  for (const mode of MODES) {
    const symbols = SYMBOLS.map((symbol) => ({ symbol, exchange: "NSE" }));
    const request = { action: "subscribe", symbols, mode, request_id: `r${mode}` };
    const answer = await client.ask(request, { binary: mode === 2 });
    check(answer.type === "subscribe" && answer.status === "success", answer);
    check(answer.request_id === `r${mode}`, answer);
  }
  client.ticks.length = 0;
  await client.untilAllTick();
  for (const tick of client.ticks) {
    check(tick.exchange === "NSE" && tick.broker === "paper", tick);
    check(tick.data.ltp > 0, tick);
    check(tick.mode < 2 || tick.data.open > 0, tick);
    check(tick.mode < 3 || tick.data.depth.buy.length === 5, tick);
  }
}

async function checkPings(client) {
  const pong = await client.ask({ action: "ping", timestamp: 42, _pingId: [1] });
  check(pong.type === "pong" && pong.client_timestamp === 42 && pong._pingId[0] === 1, pong);
  const answered = new Promise((resolve) => client.socket.once("pong", resolve));
  client.socket.ping("are you there");
  check((await within(answered, 5000, "a pong")).toString() === "are you there", "pong payload");
}

async function unsubscribeStepByStep(client) {
  const one = { action: "unsubscribe", symbol: "RELIANCE", exchange: "NSE", mode: "Quote" };
  const first = await client.ask(one);
  check(first.type === "unsubscribe" && first.successful.length === 1, first);
  const left = new Set((await client.ticksFor(1000)).map((tick) => `${tick.mode} ${tick.symbol}`));
  check(!left.has("2 RELIANCE") && left.has("1 RELIANCE") && left.has("2 M&M"), [...left]);
  const all = await client.ask({ action: "unsubscribe_all", request_id: 7 });
  check(all.status === "success" && all.request_id === 7, all);
  check((await client.ticksFor(1000)).length === 0, "ticks after unsubscribe_all was answered");
}

async function openAgain() {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    try {
      return await Client.open();
    } catch {
      await sleep(100);
    }
  }
  return check(false, "cannot connect after the restart");
}

const client = await Client.open();
await checkPings(client);
await authenticate(client);
await subscribeAll(client);

const closed = new Promise((resolve) => client.socket.once("close", resolve));
console.log("restart");
const code = await within(closed, 20000, "closed by the restart");
check(code === 1012, `close code ${code} at a restart`);

const again = await openAgain();
await authenticate(again);
await subscribeAll(again);
await unsubscribeStepByStep(again);
const gone = new Promise((resolve) => again.socket.once("close", resolve));
again.socket.close(1000);
check((await within(gone, 5000, "closed")) === 1000, "the close was not answered in kind");
console.log("passed");
process.exit(0);
