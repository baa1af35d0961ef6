/** A process of the SQLite tests: speaks to the driver directly, does what it is told, notes what it saw. */
import { writeSync } from "node:fs";
import { systemClock } from "../../src/clock.ts";
import type { Consumption, DriverConnection, InMessage, OutMessage, Sink } from "../../src/driver.ts";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { type ChildSide, runChild } from "../../src/testing/child-side.ts";
import { RecordingSink, groupSpec, joinGroup, letterOf, outgoing, publish, textOf } from "../support/driver-harness.ts";

export interface ChildInput {
  readonly path: string;
  readonly role: "publish" | "member" | "respond" | "receipt" | "settle";
  readonly order?: "group" | "none" | undefined;
  /** What its group reads. @default everything */
  readonly patterns?: readonly string[] | undefined;
  readonly leaseMs?: number | undefined;
  readonly count?: number | undefined;
  readonly window?: number | undefined;
}

async function connect({ path, leaseMs }: ChildInput): Promise<DriverConnection> {
  const now = new Date();
  const connection = await sqlite({ path, leaseMs }).connect({
    name: "child",
    prefix: "omnibus",
    member: {
      id: `child-${process.pid}`,
      name: "child",
      host: "here",
      pid: process.pid,
      since: now,
      lastSeen: now,
      partitions: undefined,
    },
    manage: "create",
    clock: systemClock,
    signal: new AbortController().signal,
    status: () => undefined,
    changed: () => undefined,
    warn: () => undefined,
  });
  await connection.ensureStream({ name: "events", topics: [">"] });
  return connection;
}

const stored = (sent: { readonly outcome: string }): Promise<void> =>
  new Promise((resolve) => {
    const look = (): void => void (sent.outcome === "waiting" ? setImmediate(look) : resolve());
    look();
  });

/** Publishes one message for each line that it is told, and notes when it was stored. */
async function publisher({ input, note, onTold, ended }: ChildSide<ChildInput>): Promise<void> {
  const connection = await connect(input);
  onTold((text) => {
    const [sent] = publish(connection, [text], { brokerId: `${process.pid}-${text}` });
    void stored(sent!).then(() =>
      note({ op: sent!.outcome, text, code: (sent!.error as { readonly code?: string } | undefined)?.code }),
    );
  });
  note({ op: "ready" });
  for (let n = 0; n < (input.count ?? 0); n += 1) {
    const [sent] = publish(connection, [`${process.pid}-${n}`], { key: "k", brokerId: `${process.pid}-${n}` });
    await stored(sent!);
    note({ op: sent!.outcome, text: `${process.pid}-${n}` });
  }
  if (input.count !== undefined) note({ op: "published" });
  await ended;
  await connection.close(AbortSignal.timeout(5_000));
}

/** A member that keeps what it gets until it is told to `ack` or `dead`; `cpu` notes what it used so far. */
async function member({ input, note, onTold, ended }: ChildSide<ChildInput>): Promise<void> {
  const connection = await connect(input);
  const { order = "none", patterns = [">"] } = input;
  await connection.ensureGroup(groupSpec("g", { order, patterns }));
  const held: InMessage[] = [];
  const sink: Sink = {
    deliver: (messages) => {
      held.push(...messages);
      for (const message of messages)
        note({ op: "got", text: textOf(message), deliveries: message.deliveries, attempts: message.attempts });
    },
    revoked: (which) => note({ op: "revoked", count: "partition" in which ? 1 : which.length }),
    floor: () => undefined,
    spec: ({ reads }) => note({ op: "spec", patterns: reads[0]?.patterns }),
    lost: (count) => note({ op: "lost", count }),
    ended: (error) => note({ op: "ended", code: (error as { readonly code?: string }).code }),
  };
  const consumption: Consumption = await connection.consume({ kind: "group", group: "g", resume: undefined }, sink, {
    messages: input.window ?? 1_000,
    bytes: 1e9,
  });
  onTold((command) => {
    if (command === "ack") {
      consumption.ack(held.splice(0));
      void consumption.flush().then(() => note({ op: "flushed" }));
    } else if (command === "note") {
      void consumption
        .record(held.map((message) => ({ message, attempts: 1, notBefore: undefined, headers: [] })))
        .then((results) => note({ op: "noted", results }));
    } else if (command === "cpu") {
      const { user, system } = process.cpuUsage();
      note({ op: "cpu", micros: user + system });
    }
  });
  note({ op: "ready" });
  await ended;
  await connection.close(AbortSignal.timeout(5_000));
}

/** Answers every request `ask.*` with its own text. */
async function responder({ input, note, ended }: ChildSide<ChildInput>): Promise<void> {
  const connection = await connect(input);
  const sink: Sink = Object.assign(new RecordingSink(), {
    deliver: (messages: readonly InMessage[]) => {
      consumption.ack(messages);
      connection.send(
        messages.map(
          (message): OutMessage => outgoing({ kind: "inbox", address: message.replyTo! }, textOf(message)).message,
        ),
      );
    },
  });
  const consumption = await connection.consume({ kind: "direct", group: undefined }, sink, {
    messages: 1_000,
    bytes: 1e9,
  });
  await consumption.wants([], ["ask.*"]);
  note({ op: "ready" });
  await ended;
  await connection.close(AbortSignal.timeout(5_000));
}

/** Publishes one by one and writes a line on its output for each receipt: strace shows what came before it. */
async function receipts({ input }: ChildSide<ChildInput>): Promise<void> {
  const connection = await connect(input);
  writeSync(1, "begin\n");
  for (let n = 0; n < (input.count ?? 1); n += 1) {
    const [sent] = publish(connection, [String(n)]);
    await stored(sent!);
    writeSync(1, `receipt ${n} ${sent!.outcome}\n`);
  }
  await connection.close(AbortSignal.timeout(5_000));
}

/** Settles and notes one message after another, and writes a line on its output before each and for each answer. */
async function settlements({ input }: ChildSide<ChildInput>): Promise<void> {
  const connection = await connect(input);
  const { order = "none" } = input;
  await connection.ensureGroup(groupSpec("g", { order }));
  const { sink, consumption } = await joinGroup(connection, "g");
  const asks: readonly ((message: InMessage) => Promise<readonly string[]>)[] = [
    (message) => consumption.settle([{ how: "dead", message, letter: letterOf(message, "g") }]),
    (message) => consumption.record([{ message, attempts: 1, notBefore: Date.now() + 60_000, headers: [] }]),
    (message) => consumption.settle([{ how: "retry", message, delayMs: 60_000, attempts: 1, headers: [] }]),
  ];
  for (let n = 0; n < (input.count ?? 1); n += 1) {
    const [sent] = publish(connection, [String(n)]);
    await stored(sent!);
    while (sink.messages.length <= n) await new Promise((resolve) => setImmediate(resolve));
    const ask = asks[n % (order === "none" ? asks.length : 2)]!; // an ordered group retries in its place
    writeSync(1, "begin\n");
    const [result] = await ask(sink.messages[n]!);
    writeSync(1, `receipt ${n} ${result}\n`);
    consumption.ack(sink.messages.slice(n)); // the noted one
    await consumption.flush();
  }
  await connection.close(AbortSignal.timeout(5_000));
}

await runChild<ChildInput>((child) => {
  switch (child.input.role) {
    case "publish":
      return publisher(child);
    case "member":
      return member(child);
    case "respond":
      return responder(child);
    case "receipt":
      return receipts(child);
    case "settle":
      return settlements(child);
  }
});
