import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FaultProxy, until, within } from "../../src/testing/index.ts";
import { LineSocket } from "../support/line-socket.ts";
import { NatsLines } from "../support/nats-lines.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");
const secured = await testBroker("redis", { variant: "tls" });
const nats = await testBroker("nats");
const shortMs = 60;

describe.skipIf(redis === undefined)("a fault proxy in front of Redis", () => {
  let proxy: FaultProxy;
  let socket: LineSocket;
  let key: string;
  let keys = 0;
  beforeEach(async () => {
    proxy = await FaultProxy.start(redis?.url ?? "");
    socket = dial();
    key = `fault-proxy:${process.pid}:${(keys += 1)}`;
  });
  afterEach(async () => {
    socket[Symbol.dispose]();
    await proxy.close();
  });
  const dial = (): LineSocket => LineSocket.plain(Number(new URL(proxy.url(redis?.url ?? "")).port));

  async function answer(command: string, to: LineSocket = socket): Promise<string> {
    to.send(command);
    return await to.next();
  }
  /** The value, asked over a connection of its own. */
  async function value(): Promise<string> {
    using other = dial();
    return (await answer(`GET ${key}`, other)) === "$-1" ? "none" : await other.next();
  }

  it("carries commands and answers", async () => {
    expect([await answer("PING"), await answer(`INCR ${key}`)]).toEqual(["+PONG", ":1"]);
  });

  it("has INCR carried out whose answer it swallows", async () => {
    expect(await answer(`INCR ${key}`)).toBe(":1");
    const swallowed = proxy.swallowReply({ request: "INCR" });
    expect(await answer("PING")).toBe("+PONG");
    await expect(answer(`INCR ${key}`)).rejects.toThrow("ECONNRESET");
    expect(await within(swallowed, "the answer")).toBe(true);
    await until(async () => (await value()) === "2", "the second INCR");
  });

  it("lets the answers before the one that it swallows pass, and has all that was sent carried out", async () => {
    const swallowed = proxy.swallowReply({ reply: /:\d+\r\n/, nth: 3 });
    socket.send(...Array.from({ length: 5 }, () => `INCR ${key}`));
    expect([await socket.next(), await socket.next()]).toEqual([":1", ":2"]);
    await expect(socket.next()).rejects.toThrow("ECONNRESET");
    expect(await within(swallowed, "the answer")).toBe(true);
    await until(async () => (await value()) === "5", "all five");
  });

  it("resets in the middle of a batch: what came before the cut is carried out, and nothing after it", async () => {
    const command = `INCR ${key}`;
    const done = proxy.requests.resetAfter((command.length + 2) * 7 + 3);
    socket.send(...Array.from({ length: 100 }, () => command));
    expect(await within(done, "the reset")).toBe(true);
    await until(async () => (await value()) === "7", "seven");
    expect(await answer(command, dial())).toBe(":8");
  });

  it("refuses while it is down, and is there again when it is up", async () => {
    expect(await answer("PING")).toBe("+PONG");
    proxy.down();
    await expect(socket.next()).rejects.toThrow("ECONNRESET");
    await expect(dial().next()).rejects.toThrow("ECONNREFUSED");
    await proxy.up();
    expect(await answer("PING", dial())).toBe("+PONG");
  });

  it("is slow where it is told to, and no more when that is taken off", async () => {
    proxy.replies.set({ latencyMs: shortMs });
    const from = performance.now();
    expect(await answer("PING")).toBe("+PONG");
    expect(performance.now() - from).toBeGreaterThanOrEqual(shortMs);
    proxy.replies.set({ latencyMs: 3_600_000 });
    socket.send("PING");
    proxy.replies.clear();
    expect(await socket.next()).toBe("+PONG");
  });

  it("keeps a half-open connection silent while Redis has closed its side", async () => {
    const id = Number((await answer("CLIENT ID")).slice(1));
    proxy.halfOpen();
    using other = dial();
    await until(async () => (await answer(`CLIENT KILL ID ${id}`, other)) === ":0", "Redis to have closed it");
    socket.send("PING");
    await expect(socket.next(shortMs)).rejects.toThrow("not within");
    expect(await answer("PING", other)).toBe("+PONG");
  });

  it.skipIf(secured === undefined)("passes TLS through untouched, in whatever pieces", async () => {
    await using before = await FaultProxy.start(secured?.url ?? "");
    before.requests.set({ sliceBytes: 100 });
    before.replies.set({ sliceBytes: 100 });
    using tls = LineSocket.secure(before.port, { ca: readFileSync(secured?.certificates?.ca ?? "", "utf8") });
    expect(await answer("PING", tls)).toBe("+PONG");
    const swallowed = before.swallowReply();
    await expect(answer(`INCR ${key}`, tls)).rejects.toThrow("ECONNRESET");
    expect(await within(swallowed, "the answer")).toBe(true);
  });
});

describe.skipIf(nats === undefined)("a fault proxy in front of NATS", () => {
  let proxy: FaultProxy;
  beforeEach(async () => {
    proxy = await FaultProxy.start(nats?.url ?? "");
  });
  afterEach(() => proxy.close());

  it("lets INFO arrive, whole and in pieces", async () => {
    using one = await NatsLines.connect(proxy.port);
    proxy.replies.set({ sliceBytes: 1 });
    using other = await NatsLines.connect(proxy.port);
    expect(other.info.server_name).toBe(one.info.server_name);
    expect(proxy.replies.writes).toBeGreaterThan(100);
  });

  it.each(["requests", "replies"] as const)("hides PING and PONG in a black hole of %s", async (direction) => {
    using before = await NatsLines.connect(proxy.port);
    await before.ping();
    proxy[direction].set({ blackHole: true });
    await expect(before.ping(shortMs)).rejects.toThrow("not within");
    expect(proxy[direction].lostBytes).toBeGreaterThanOrEqual("PING\r\n".length);
    await proxy.heal();
    await expect(before.ping()).rejects.toThrow("ECONNRESET");
    using after = await NatsLines.connect(proxy.port);
    await after.ping();
  });

  it("keeps a message whose acknowledgement it swallows", async () => {
    const ask = async (command: string, body: string): Promise<string> => {
      using direct = await NatsLines.connect(Number(new URL(nats?.url ?? "").port));
      return await direct.request(`$JS.API.STREAM.${command}`, body);
    };
    const name = `fault-proxy-${process.pid}`;
    await ask(`CREATE.${name}`, JSON.stringify({ name, subjects: [`${name}.>`] }));
    using one = await NatsLines.connect(proxy.port);
    expect(await one.request(`${name}.a`, "1")).toContain('"seq":1');
    const swallowed = proxy.swallowReply({ request: `PUB ${name}.b`, reply: "MSG _INBOX" });
    await expect(one.request(`${name}.b`, "2")).rejects.toThrow("ECONNRESET");
    expect(await within(swallowed, "the acknowledgement")).toBe(true);
    expect(await ask(`INFO.${name}`, "")).toContain('"messages":2,');
    await ask(`DELETE.${name}`, "");
  });
});
