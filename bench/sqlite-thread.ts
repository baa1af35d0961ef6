/**
 * The SQLite driver on the main thread against the same driver in a worker thread: throughput, CPU, latency, and how long the
 * event loop of the main thread stands. `node bench/sqlite-thread.ts` prints a table for this disk and, where strace is there,
 * for one whose syncs take 2 ms longer. docs/sqlite.md says what was chosen by it.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { systemClock } from "../src/clock.ts";
import type { Consumption, DriverConnection, InMessage, OutMessage, Sink } from "../src/driver.ts";
import { sqlite } from "../src/drivers/sqlite/index.ts";
import { slowDisk } from "./slow-disk.ts";

const messages = 60_000;
const window = 1_024;
const bodyBytes = 500;
const pings = 300;

/** What a message costs to bring across: its fields, and its body within one buffer that is handed over. */
interface Crossing {
  readonly kind: "publish" | "stored" | "subscribe" | "delivered" | "ack" | "ready" | "close" | "closed";
  readonly count?: number;
  readonly fields?: readonly (readonly [id: string, key: string, hash: number])[];
  readonly bodies?: ArrayBuffer;
}

/** Publishing and consuming as the core would, wherever the driver is. */
interface Side {
  publish(first: number, count: number, stored: () => void): void;
  subscribe(deliver: (count: number) => void): Promise<void>;
  ack(count: number): void;
  close(): Promise<void>;
}

const noop = (): void => undefined;

async function connect(path: string): Promise<DriverConnection> {
  const now = new Date();
  const member = {
    id: "bench",
    name: "bench",
    host: "here",
    pid: process.pid,
    since: now,
    lastSeen: now,
    partitions: undefined,
  };
  const connection = await sqlite({ path }).connect({
    name: "bench",
    prefix: "omnibus",
    member,
    manage: "create",
    clock: systemClock,
    signal: new AbortController().signal,
    status: noop,
    changed: noop,
    warn: noop,
  });
  await connection.ensureStream({ name: "events", topics: [">"], maxBytes: 2 ** 40 });
  return connection;
}

function outgoing(id: string, key: string, hash: number, body: Uint8Array, stored: () => void): OutMessage {
  return {
    to: { kind: "topic", stream: "events", topic: "orders.placed" },
    id,
    brokerId: id,
    key,
    hash,
    replyTo: undefined,
    notBefore: undefined,
    expiresAt: undefined,
    durable: true,
    priority: 1,
    headers: [],
    body,
    value: undefined,
    stored,
    failed: (_, error) => {
      throw error;
    },
  };
}

const fieldsOf = (n: number): readonly [string, string, number] => [
  `${n}`.padStart(36, "0"),
  `key-${n % 500}`,
  (n % 500) * 7_919,
];

/** Consumes the group `g` and says how many came. */
async function consume(
  connection: DriverConnection,
  deliver: (messages: readonly InMessage[]) => void,
): Promise<Consumption> {
  await connection.ensureGroup({
    group: "g",
    reads: [{ stream: "events", patterns: [">"] }],
    from: { at: "newest" },
    order: "group",
    live: false,
  });
  const sink: Sink = { deliver, revoked: noop, floor: noop, spec: noop, lost: noop, ended: noop };
  return await connection.consume({ kind: "group", group: "g", resume: undefined }, sink, {
    messages: window,
    bytes: 2 ** 30,
  });
}

async function onMain(path: string): Promise<Side> {
  const connection = await connect(path);
  const held: InMessage[] = [];
  let consumption: Consumption | undefined;
  const body = new Uint8Array(bodyBytes);
  return {
    publish: (first, count, stored) => {
      let left = count;
      const one = (): void => void (--left === 0 && stored());
      connection.send(Array.from({ length: count }, (_, n) => outgoing(...fieldsOf(first + n), body, one)));
    },
    subscribe: async (deliver) => {
      consumption = await consume(connection, (batch) => {
        held.push(...batch);
        deliver(batch.length);
      });
    },
    ack: (count) => consumption?.ack(held.splice(0, count)),
    close: () => connection.close(AbortSignal.timeout(5_000)),
  };
}

async function inWorker(path: string): Promise<Side> {
  const worker = new Worker(new URL(import.meta.url), { workerData: path });
  const stored: (() => void)[] = [];
  let deliver: (count: number) => void = noop;
  const waiting = new Map<string, () => void>();
  const said = (kind: string): Promise<void> => new Promise((resolve) => void waiting.set(kind, resolve));
  worker.on("message", ({ kind, count = 0 }: Crossing) => {
    if (kind === "stored") stored.shift()?.();
    else if (kind === "delivered") deliver(count);
    else waiting.get(kind)?.();
  });
  const tell = (crossing: Crossing): void =>
    worker.postMessage(crossing, crossing.bodies === undefined ? [] : [crossing.bodies]);
  await said("ready");
  return {
    publish: (first, count, done) => {
      stored.push(done);
      tell({
        kind: "publish",
        fields: Array.from({ length: count }, (_, n) => fieldsOf(first + n)),
        bodies: new ArrayBuffer(count * bodyBytes),
      });
    },
    subscribe: (each) => {
      deliver = each;
      tell({ kind: "subscribe" });
      return said("ready");
    },
    ack: (count) => tell({ kind: "ack", count }),
    close: async () => {
      tell({ kind: "close" });
      await said("closed");
      await worker.terminate();
    },
  };
}

async function work(path: string): Promise<void> {
  const connection = await connect(path);
  const port = parentPort!;
  const held: InMessage[] = [];
  let consumption: Consumption | undefined;
  const tell = (crossing: Crossing): void =>
    port.postMessage(crossing, crossing.bodies === undefined ? [] : [crossing.bodies]);
  port.on("message", ({ kind, count = 0, fields = [], bodies }: Crossing) => {
    if (kind === "publish") {
      let left = fields.length;
      const one = (): void => void (--left === 0 && tell({ kind: "stored" }));
      connection.send(
        fields.map(([id, key, hash], n) =>
          outgoing(id, key, hash, new Uint8Array(bodies!, n * bodyBytes, bodyBytes), one),
        ),
      );
    } else if (kind === "subscribe") {
      void consume(connection, (batch) => {
        held.push(...batch);
        const all = new Uint8Array(batch.length * bodyBytes);
        for (const [n, message] of batch.entries()) all.set(message.body, n * bodyBytes);
        tell({
          kind: "delivered",
          count: batch.length,
          fields: batch.map((message) => [message.topic, message.key ?? "", message.deliveries]),
          bodies: all.buffer,
        });
      }).then((opened) => {
        consumption = opened;
        tell({ kind: "ready" });
      });
    } else if (kind === "ack") consumption?.ack(held.splice(0, count));
    else if (kind === "close") void connection.close(AbortSignal.timeout(5_000)).then(() => tell({ kind: "closed" }));
  });
  tell({ kind: "ready" });
}

interface Row {
  readonly where: string;
  readonly [column: string]: string | number;
}

const rounded = (value: number, digits = 1): number => Number(value.toFixed(digits));

async function measure(where: string, open: (path: string) => Promise<Side>): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), "omnibus-bench-"));
  const side = await open(join(folder, "bus.db"));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let next = 0;
  const timed = async (
    run: () => Promise<void>,
  ): Promise<{
    readonly perSecond: number;
    readonly cpu: number;
    readonly p50: number;
    readonly p99: number;
    readonly max: number;
  }> => {
    delay.reset();
    delay.enable();
    const [from, cpu] = [performance.now(), process.cpuUsage()];
    await run();
    const [ms, { user, system }] = [performance.now() - from, process.cpuUsage(cpu)];
    delay.disable();
    return {
      perSecond: messages / (ms / 1_000),
      cpu: (user + system) / messages,
      p50: delay.percentile(50) / 1e6,
      p99: delay.percentile(99) / 1e6,
      max: delay.max / 1e6,
    };
  };
  const publishAll = (): Promise<void> =>
    new Promise((resolve) => {
      const end = next + messages;
      let under = 0;
      const more = (): void => {
        // Two batches under way: while one is written the next is made.
        while (under < 2 && next < end) {
          const count = Math.min(window / 2, end - next);
          under += 1;
          side.publish(next, count, () => {
            under -= 1;
            setImmediate(more);
          });
          next += count;
        }
        if (under === 0 && next === end) resolve();
      };
      more();
    });
  const published = await timed(publishAll);
  let came = 0;
  let expected = Number.POSITIVE_INFINITY;
  let reached: () => void = noop;
  await side.subscribe((count) => {
    side.ack(count);
    came += count;
    if (came >= expected) reached();
  });
  const both = await timed(async () => {
    expected = came + messages;
    const handled = new Promise<void>((resolve) => (reached = resolve));
    await publishAll();
    await handled;
  });
  const latencies: number[] = [];
  for (let n = 0; n < pings; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, 3));
    const from = performance.now();
    expected = came + 1;
    await new Promise<void>((resolve) => {
      reached = resolve;
      side.publish(next++, 1, noop);
    });
    latencies.push(performance.now() - from);
  }
  latencies.sort((a, b) => a - b);
  await side.close();
  rmSync(folder, { recursive: true });
  return {
    where,
    "publish/s": Math.round(published.perSecond),
    "CPU µs": rounded(published.cpu),
    "loop p50 ms": rounded(published.p50),
    "loop p99 ms": rounded(published.p99),
    "loop max ms": rounded(published.max),
    "publish and handle/s": Math.round(both.perSecond),
    "its CPU µs": rounded(both.cpu),
    "its loop p99 ms": rounded(both.p99),
    "latency p50 ms": rounded(latencies[pings / 2]!, 2),
    "latency p99 ms": rounded(latencies[Math.floor(pings * 0.99)]!, 2),
  };
}

if (!isMainThread) await work(workerData as string);
else {
  const rows: Row[] = [];
  for (let round = 0; round < 3; round += 1)
    rows.push(await measure("main thread", onMain), await measure("worker thread", inWorker));
  console.table(rows);
  if (slowDisk !== undefined && !process.argv.includes("--slow")) {
    console.log("each sync 2 ms slower:");
    spawnSync(slowDisk[0]!, [...slowDisk.slice(1), process.execPath, new URL(import.meta.url).pathname, "--slow"], {
      stdio: "inherit",
    });
  }
}
