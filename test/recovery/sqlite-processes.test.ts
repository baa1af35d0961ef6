import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Child, type Line, spawnChild } from "../../src/testing/index.ts";
import { silence } from "../../src/testing/until.ts";
import {
  consume,
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  toDirect,
  turns,
  until,
} from "../support/driver-harness.ts";
import { newWorld, type SqliteWorld } from "../support/sqlite-world.ts";
import type { ChildInput } from "./sqlite-child.ts";

const start = async (world: SqliteWorld, input: Omit<ChildInput, "path">): Promise<Child> => {
  const child = spawnChild(new URL("sqlite-child.ts", import.meta.url), {
    input: { path: world.path, ...input } satisfies ChildInput,
  });
  await until(() => noted(child, "ready").length > 0, "the child", 15_000);
  return child;
};
const noted = (child: Child, op: string): readonly Line[] => child.lines.filter((line) => line["op"] === op);
const texts = (child: Child, op: string): readonly unknown[] => noted(child, op).map((line) => line["text"]);
/** The letter behind the program's name, which may hold anything. */
function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.charAt(stat.lastIndexOf(")") + 2);
}
/** Stops it outside of a transaction, or it would keep the lock of the file, and nobody could go on without it. */
async function freeze(world: SqliteWorld, child: Child): Promise<void> {
  const database = world.raw();
  database.exec("BEGIN IMMEDIATE");
  process.kill(child.pid, "SIGSTOP");
  await until(() => stateOf(child.pid) === "T", "it to stand still");
  database.exec("ROLLBACK");
  database.close();
}
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

describe("several processes on one file", () => {
  it("wake each other within 25 ms", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await connection.ensureGroup(groupSpec("g"));
    await using child = await start(world, { role: "publish" });
    const { consumption, sink } = await joinGroup(connection, "g");
    const delays: number[] = [];
    for (const text of numbered(40)) {
      child.tell(text);
      await until(() => sink.texts.at(-1) === text, `message ${text}`);
      const at = now();
      consumption.ack(sink.messages.slice(-1));
      await until(() => texts(child, "stored").includes(text), "its receipt");
      delays.push(at - (noted(child, "stored").at(-1)!.at as number));
      await new Promise((resolve) => setTimeout(resolve, 30)); // idle again: the next write has to wake us
    }
    const median = delays.toSorted((a, b) => a - b)[20]!;
    console.info(
      `wake-up across processes: median ${median.toFixed(1)} ms, worst ${Math.max(...delays).toFixed(1)} ms`,
    );
    expect(median).toBeLessThan(25);
  });

  it("use under 1 % of a core each while nothing happens", async () => {
    const world = newWorld();
    await using child = await start(world, { role: "member", order: "group" });
    await using other = await start(world, { role: "member", order: "group" });
    const used = async (): Promise<number> => {
      const before = noted(child, "cpu").length;
      child.tell("cpu");
      await until(() => noted(child, "cpu").length > before, "its figure");
      return noted(child, "cpu").at(-1)!["micros"] as number;
    };
    await used();
    await new Promise((resolve) => setTimeout(resolve, 2_000)); // start-up and the rebalance are over
    const [before, from] = [await used(), now()];
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const share = (((await used()) - before) / 1_000 / (now() - from)) * 100;
    console.info(`idle: ${share.toFixed(2)} % of a core`);
    expect(share).toBeLessThan(1);
    expect(other.gone).toBe(false);
  });

  it.each(["none", "group"] as const)(
    "take over at once what a killed one held (order %s), long before its lease ends",
    async (order) => {
      const world = newWorld();
      const { connection } = await world.connect({ leaseMs: 60_000 });
      await using child = await start(world, { role: "member", order, leaseMs: 60_000 });
      publish(connection, numbered(5));
      await until(() => texts(child, "got").length === 5, "its messages");
      child.tell("note");
      await until(() => noted(child, "noted").length === 1, "its notes");
      const { sink } = await joinGroup(connection, "g");
      await child.kill();
      const killed = performance.now();
      await until(() => sink.messages.length === 5, "what it held"); // its deadline is 5 s, the lease a minute
      console.info(`taken over after ${(performance.now() - killed).toFixed(0)} ms`);
      expect(sink.messages.map(({ deliveries, attempts }) => [deliveries, attempts])).toEqual(
        Array.from({ length: 5 }, () => [2, 1]),
      );
      expect(world.count("process")).toBe(1);
    },
  );

  it.each(["none", "group"] as const)(
    "option: SqliteOptions.leaseMs is when they take over from one that is stopped, and fence it off (order %s)",
    async (order) => {
      const world = newWorld();
      const { connection } = await world.connect({ leaseMs: 600 });
      await using child = await start(world, { role: "member", order, leaseMs: 600 });
      publish(connection, numbered(3));
      await until(() => texts(child, "got").length === 3, "its messages");
      const { consumption, sink } = await joinGroup(connection, "g");
      await freeze(world, child);
      try {
        await until(() => sink.messages.length === 3, "what it held");
        consumption.ack(sink.messages);
        await consumption.flush();
        await consumption.stop();
      } finally {
        process.kill(child.pid, "SIGCONT");
      }
      child.tell("note");
      await until(() => noted(child, "noted").length === 1 && noted(child, "revoked").length > 0, "it to be told");
      expect(noted(child, "noted")[0]!["results"]).toEqual(["stale", "stale", "stale"]);
      publish(connection, ["4"]);
      await consumption.close(AbortSignal.timeout(1_000));
      await until(() => texts(child, "got").length === 4, "it to go on");
      expect(texts(child, "got")).toEqual(["1", "2", "3", "4"]);
      expect(world.count("claim") + world.count("held")).toBeLessThanOrEqual(1);
    },
  );

  it("wait with a grown group until every member knows it", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await using child = await start(world, { role: "member", patterns: ["first"] });
    await connection.ensureGroup(groupSpec("g", { patterns: ["one.more"] }));
    await until(() => noted(child, "spec").length === 1, "it to be told");
    await freeze(world, child);
    let grown = false;
    const growing = connection.ensureGroup(groupSpec("g", { patterns: ["another"] })).then(() => (grown = true));
    await silence(() => Number(grown), "grown before every member knew it", 150);
    process.kill(child.pid, "SIGCONT");
    await growing;
    await until(() => noted(child, "spec").length === 2, "it to be told");
    expect(noted(child, "spec")[1]!["patterns"]).toEqual(["another", "first", "one.more"]);
  });

  it("publish at once, each in its own order, without one error", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await connection.ensureGroup(groupSpec("g"));
    const { consumption, sink } = await joinGroup(connection, "g", { messages: 5_000, bytes: 1e9 });
    const children = await Promise.all([1, 2, 3].map(() => start(world, { role: "publish", count: 300 })));
    const mine = publish(
      connection,
      numbered(300).map((n) => `parent-${n}`),
    );
    await until(() => children.every((child) => noted(child, "published").length === 1), "all to be published", 20_000);
    await until(
      () => sink.messages.length === 1_200,
      () => `1200; ${sink.messages.length}`,
      20_000,
    );
    consumption.ack(sink.messages);
    expect(mine.every(({ outcome }) => outcome === "stored")).toBe(true);
    for (const child of children) {
      expect(noted(child, "stored")).toHaveLength(300);
      const own = sink.texts.filter((text) => text.startsWith(`${child.pid}-`));
      expect(own).toEqual(texts(child, "stored"));
      await child.end();
    }
    expect(world.rows("SELECT count(*) AS count, max(seq) AS last FROM omnibus_log_1")).toEqual([
      { count: 1_200, last: 1_200 },
    ]);
  });

  it("wait for a lock that is held for long without standing still, and without an error", async () => {
    const world = newWorld();
    const { connection, statuses } = await world.connect({ busyTimeoutMs: 200 });
    const script = `
      const { DatabaseSync } = require("node:sqlite");
      const database = new DatabaseSync(process.argv[1]);
      database.exec("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE");
      process.stdout.write("locked");
      process.stdin.once("data", () => { database.exec("COMMIT"); database.close(); process.exit(); });`;
    const holder = spawn(process.execPath, ["-e", script, world.path], { stdio: ["pipe", "pipe", "ignore"] });
    await once(holder.stdout, "data");
    const [sent] = publish(connection, ["1"]);
    await until(() => statuses.length > 0, "it to be said");
    await turns(200); // a driver that stood still would take the lock's own time for each
    expect([sent!.outcome, statuses.map(({ type }) => type)]).toEqual(["waiting", ["blocked"]]);
    holder.stdin.write("go"); // which the loop has to get round to
    await until(() => sent!.outcome !== "waiting", "the lock");
    expect(sent!.outcome).toBe("stored");
    expect(statuses.map(({ type }) => type)).toEqual(["blocked", "unblocked"]);
  });

  it("answer each other's requests", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await using child = await start(world, { role: "respond" });
    const inbox = await consume(connection, { kind: "inbox" });
    const ask = (text: string): void =>
      connection.send([
        outgoing(toDirect("ask.it"), text, { replyTo: inbox.consumption.address!, expiresAt: Date.now() + 60_000 })
          .message,
      ]);
    const answered = async (text: string): Promise<void> => {
      await until(() => inbox.sink.texts.at(-1) === text, `the answer to ${text}`);
      inbox.consumption.ack(inbox.sink.messages.slice(-1));
    };
    const from = performance.now();
    for (const text of numbered(100)) {
      ask(text);
      await answered(text);
    }
    const each = (performance.now() - from) / 100;
    console.info(`requests between two processes, one after another: ${each.toFixed(2)} ms each`); // how fast is the bench's
    await child.kill();
    const request = outgoing(toDirect("ask.it"), "?", {
      replyTo: inbox.consumption.address!,
      expiresAt: Date.now() + 60_000,
    });
    connection.send([request.message]);
    await until(() => request.outcome !== "waiting", "an outcome");
    expect(request.error).toMatchObject({ code: "BUS_NO_RESPONDER" });
  });
});
