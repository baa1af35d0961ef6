import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { type Bus, connect } from "../../src/index.ts";
import { upTo } from "../../src/testing/runs.ts";
import { randomFor, seed } from "../../src/testing/settings.ts";
import {
  type Child,
  faultHappened,
  type HistoryRecord,
  inFlightAtKill,
  keyOrder,
  nothingDuplicated,
  nothingInvented,
  nothingLost,
  silence,
  spawnChild,
  summary,
  until,
} from "../../src/testing/index.ts";
import { Work, type WorkerInput } from "./worker.ts";

const isFull = process.env["OMNIBUS_FULL"] === "1";
const kills = isFull ? 200 : 20;
const keys = 6;
const group = "workers";
const module = new URL("worker.ts", import.meta.url);

let folder: string;
let bus: Bus;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "omnibus-kill-"));
  bus = await connect({ driver: sqlite({ path: join(folder, "bus.db") }) });
});
afterEach(async () => {
  await bus.close();
  await rm(folder, { recursive: true });
});

/** A worker by its place; one that is killed is followed by another. */
interface Place {
  readonly role: WorkerInput["role"];
  name: string;
  child: Child;
}

class Run {
  readonly history: HistoryRecord[] = [];
  readonly killed = new Set<string>();
  #started = 0;

  start(role: WorkerInput["role"], options: Partial<WorkerInput> = {}): Place {
    const name = `${role}-${this.#started++}`;
    const input: WorkerInput = { path: join(folder, "bus.db"), role, group, ...options };
    const onLine = (line: object): void => void this.history.push({ ...(line as HistoryRecord), process: name });
    return { role, name, child: spawnChild(module, { input, onLine }) };
  }

  /** The place's next worker runs when it resolves. True: something was in flight. */
  async kill({ name, child, role }: Place): Promise<boolean> {
    const before = Number(process.hrtime.bigint()) / 1e6;
    await child.kill();
    const at = Math.max(before, child.lines.at(-1)?.at ?? before);
    this.history.push({ at, process: name, op: "killed", id: "" });
    this.killed.add(name);
    const own = this.inOrder().filter((record) => record.process === name);
    if (role !== "publish") return inFlightAtKill(own, name).size > 0;
    const acked = new Set(own.filter(({ op }) => op === "published").map(({ id }) => id));
    return own.some(({ op, id }) => op === "publish-started" && !acked.has(id));
  }

  /** The first of each key that was not acknowledged. */
  next(): number[] {
    const next = Array<number>(keys).fill(0);
    for (const { op, key, sequence } of this.history) {
      if (op === "published")
        next[Number(key?.slice(1))] = Math.max(next[Number(key?.slice(1))] ?? 0, (sequence ?? 0) + 1);
    }
    return next;
  }

  inOrder(): HistoryRecord[] {
    return this.history.toSorted((a, b) => a.at - b.at);
  }

  async letters(): Promise<readonly string[]> {
    const { items } = await bus.deadLetters.list({ group, limit: 1_000 });
    return items.map((letter) => letter.event?.id ?? letter.id);
  }
}

async function ended({ name, child }: Place): Promise<void> {
  assert.equal(
    await child.end().catch((error: unknown) => String(error)),
    0,
    `${name} after ${JSON.stringify(child.lines.slice(-3))}`,
  );
}

async function drained(deadlineMs: number): Promise<void> {
  let state = "";
  await until(
    async () => {
      const { waiting, inFlight } = await bus.groups.info(group);
      state = `${waiting} wait, ${inFlight} are in flight`;
      return waiting + inFlight === 0;
    },
    () => `everything to be handled: ${state}`,
    deadlineMs,
  );
}

describe("SIGKILL at random points", () => {
  it(
    "loses nothing and keeps every key's order over many kills of publishers and handlers",
    { timeout: kills * 15_000 },
    async () => {
      const random = randomFor("kill");
      const run = new Run();
      const places = [
        run.start("publish", { next: Array<number>(keys).fill(0) }),
        run.start("handle"),
        run.start("handle"),
      ];
      let [valid, invalid] = [0, 0];
      while (valid < kills) {
        assert.ok(invalid <= kills * 3, `${invalid} invalid runs, ${valid} valid ones`);
        const place = places[Math.floor(random() * places.length)] as Place;
        const least = place.child.lines.length + 1 + Math.floor(random() * 20);
        // A handler may own no partition: then something else is killed.
        const active = await until(() => place.child.lines.length >= least, "work", 2_000).then(
          () => true,
          () => false,
        );
        if (!active) {
          invalid++;
          continue;
        }
        if (await run.kill(place)) valid++;
        else invalid++;
        Object.assign(place, run.start(place.role, place.role === "publish" ? { next: run.next() } : {}));
      }
      const [publisher, ...handlers] = places as [Place, ...Place[]];
      await ended(publisher);
      await drained(isFull ? 240_000 : 60_000); // suspects run one at a time
      for (const handler of handlers) await ended(handler);
      const history = run.inOrder();
      console.info(`kill: seed ${seed}, ${valid} kills, ${invalid} invalid:`, JSON.stringify(summary(history)));
      assert.deepEqual(await run.letters(), []);
      const repeatable = history.filter(({ process }) => run.killed.has(process)).map(({ id }) => id);
      assert.deepEqual(
        [
          ...nothingLost(history, { groups: [group] }),
          ...nothingInvented(history),
          ...keyOrder(history, { repeats: true }),
          ...nothingDuplicated(history, new Set(repeatable)),
          ...faultHappened(history, { kills, redeliveries: 1 }),
        ],
        [],
      );
    },
  );
});

describe("a handler that kills its process", () => {
  it(
    "ends as a dead letter, and what was prefetched beside it is handled once and pays no attempt",
    { timeout: 180_000 },
    async () => {
      const [innocents, fresh] = [255, 20];
      const maxAttempts = 3;
      await bus.streams.ensure({ name: "work", topics: ["work.>"], partitions: 1 });
      const poison = await bus.publish(Work, { n: 0, poison: true });
      await bus.publishMany(upTo(innocents).map((n) => Work.of({ n }, { id: `innocent-${n}` })));
      const run = new Run();
      const options = { concurrency: 150, maxAttempts }; // a window for all of them and some more
      for (let round = 0; round <= maxAttempts; round++) {
        // Then its process goes on beside it, so that what it must not start would start.
        const place = run.start("handle-poison", { ...options, blocking: round === 0 });
        const begun = (): boolean => place.child.lines.some((line) => line["id"] === poison.id);
        await until(
          async () => begun() || (await bus.deadLetters.count({ group }).catch(() => 0)) > 0,
          () => `run ${round + 1} of the poison: ${JSON.stringify(place.child.lines.slice(-3))}`,
          40_000,
        );
        if (!begun()) {
          await ended(place);
          break;
        }
        if (round === 1) await bus.publishMany(upTo(fresh).map((n) => Work.of({ n }, { id: `fresh-${n}` })));
        const expected = 1 + innocents + (round === 0 ? 0 : fresh);
        let state: object = {};
        await until(
          async () => {
            const { inFlight, waiting } = await bus.groups.info(group);
            state = { inFlight, waiting };
            return inFlight === expected;
          },
          () => `${expected} in its hands: ${JSON.stringify(state)}`,
        );
        await silence(() => place.child.lines.length, "handlers that run beside it", 100);
        await run.kill(place);
      }
      const last = run.start("handle-poison", options);
      await drained(isFull ? 240_000 : 60_000); // suspects run one at a time
      await ended(last);
      const history = run.inOrder();
      const runs = history.filter(({ op, id }) => op === "handling" && id === poison.id);
      assert.ok(runs.length >= maxAttempts && runs.length <= maxAttempts + 1, `${runs.length} runs of the poison`);
      assert.deepEqual(await run.letters(), [poison.id]);
      const early = history.filter(({ id, at }) => String(id).startsWith("fresh-") && at < (runs.at(-1)?.at ?? 0));
      assert.deepEqual(early, [], "nothing fresh starts beside a suspect");
      const others = history.filter(({ op, id }) => op === "handled" && id !== poison.id);
      assert.equal(others.length, innocents + fresh, "each once");
      assert.equal(new Set(others.map(({ id }) => id)).size, innocents + fresh);
      assert.deepEqual(new Set(others.map(({ attempt }) => attempt)), new Set([1]), "none of them paid");
    },
  );
});
