import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newDefinition, type GroupDefinition } from "./group-plan.ts";
import { type Owned, type Owner, type OwnerStore, rangesOf, release, takeOver, within } from "./owner.ts";

const length = 8;

interface Reader {
  next: number;
  delivered: number;
  readonly start: number;
  readonly acked: Set<number>;
}

/** The bucket and the server's consumers of one partition; every call of a member passes its gate. */
class Server {
  entry: { readonly owner: Owner; readonly revision: number } | undefined;
  #revision = 0;
  readonly consumers = new Map<number, Reader>();
  readonly definition: GroupDefinition = newDefinition(
    { group: "g", reads: [{ stream: "events", patterns: [">"] }], from: { at: "oldest" }, order: "group", live: false },
    1,
    new Map([["events", { created: "c", last: length }]]),
    {},
  );
  /** Handlers that ended, whoever's. */
  readonly handled = new Set<number>();
  /** Handlers that began and were not known to have ended. */
  readonly begun = new Set<number>();
  readonly problems: string[] = [];

  store(gate: () => Promise<unknown>): OwnerStore {
    return {
      read: async () => (await gate(), this.entry),
      swap: async (owner, expected) => {
        await gate();
        if ((this.entry?.revision ?? 0) !== expected) return undefined;
        this.#revision += 1;
        this.entry = { owner, revision: this.#revision };
        return this.#revision;
      },
      definition: async () => (await gate(), { definition: this.definition, created: "c" }),
      start: () => ({ sequence: 1 }),
      patterns: () => ">",
      progress: async (epoch) => {
        await gate();
        const reader = this.consumers.get(epoch);
        if (reader === undefined) return undefined;
        let floor = reader.start - 1;
        while (reader.acked.has(floor + 1)) floor += 1;
        return { floor: reader.acked.size === 0 ? null : floor, delivered: reader.delivered };
      },
      remove: async (epoch) => {
        await gate();
        this.consumers.delete(epoch);
      },
      make: async ({ reader, floor }) => {
        await gate();
        const start = (floor ?? 0) + 1;
        this.consumers.set(reader, { next: start, delivered: start - 1, start, acked: new Set() });
        return start - 1;
      },
    };
  }
}

/** Owns, handles some, and then crashes, is taken over or hands over drained. */
async function live(
  server: Server,
  name: string,
  gate: () => Promise<unknown>,
  plan: { readonly handle: number; readonly skip: readonly number[]; readonly end: "crash" | "release" },
): Promise<void> {
  const store = server.store(gate);
  const owned = await takeOver(store, name, () => true);
  if (owned === undefined) return;
  const settled = new Set<number>();
  const open = new Set<number>();
  for (let count = 0; count < plan.handle; count += 1) {
    await gate();
    if (server.entry?.owner.epoch !== owned.owner.epoch) return; // its lease was over before another took it
    const reader = server.consumers.get(owned.owner.reader);
    if (reader === undefined || reader.next > length) break;
    const sequence = reader.next;
    reader.next += 1;
    reader.delivered = sequence;
    if (within(owned.owner.done, sequence)) {
      if (!server.handled.has(sequence)) server.problems.push(`${sequence} is passed over and was not handled`);
      reader.acked.add(sequence);
      settled.add(sequence);
      continue;
    }
    if (server.begun.has(sequence) && sequence > owned.owner.handed)
      server.problems.push(`${sequence} was with a handler that never ended, and is no suspect`);
    server.begun.add(sequence);
    await gate();
    if (plan.end === "crash" && plan.skip.includes(sequence)) {
      open.add(sequence); // its handler never ends
      continue;
    }
    server.handled.add(sequence);
    server.begun.delete(sequence);
    await gate();
    server.consumers.get(owned.owner.reader)?.acked.add(sequence);
    settled.add(sequence);
  }
  if (plan.end === "crash" || open.size > 0) return;
  let floor = owned.floor;
  while (settled.has(floor + 1)) floor += 1;
  const done = rangesOf([...settled].filter((sequence) => sequence > floor).toSorted((a, b) => a - b));
  await release(store, owned, floor, done, Math.max(floor, owned.owner.handed));
}

describe("a partition's owner", () => {
  it("loses nothing and makes every unfinished one a suspect, in whatever order two take over and crash", async () => {
    const plan = fc.record({
      handle: fc.integer({ min: 0, max: length }),
      skip: fc.uniqueArray(fc.integer({ min: 1, max: length }), { maxLength: 3 }),
      end: fc.constantFrom("crash" as const, "release" as const),
      steps: fc.integer({ min: 1, max: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(plan, { minLength: 2, maxLength: 5 }), async (scheduler, plans) => {
        const server = new Server();
        void Promise.all(
          plans.map((plan, index) => {
            let left = plan.steps;
            const gate = (): Promise<unknown> =>
              left-- > 0 ? scheduler.schedule(Promise.resolve(), `m${index}`) : new Promise(() => undefined);
            return live(server, `m${index}`, gate, plan);
          }),
        );
        while (scheduler.count() > 0) await scheduler.waitOne();
        const gate = (): Promise<unknown> => Promise.resolve();
        await live(server, "last", gate, { handle: length, skip: [], end: "release" });
        expect(server.problems).toEqual([]);
        expect([...server.handled].toSorted((a, b) => a - b)).toEqual(Array.from({ length }, (_, index) => index + 1));
        expect(server.consumers.size, "nobody's consumer is left behind").toBe(1);
      }),
      { numRuns: 600 },
    );
  });

  it("repeats nothing after a drained handover", async () => {
    const server = new Server();
    const gate = (): Promise<unknown> => Promise.resolve();
    const store = server.store(gate);
    const owned = (await takeOver(store, "a", () => true))!;
    server.consumers.get(1)!.delivered = length; // what it fetched and nobody touched is no suspect
    await release(store, owned, 2, rangesOf([4, 5, 7]), 2);
    const next = (await takeOver(store, "b", ({ member }) => member === null)) as Owned;
    expect(next.owner).toMatchObject({ epoch: 2, member: "b", floor: 2, handed: 2, reader: 2 });
    expect(next.owner.done).toEqual([
      [4, 5],
      [7, 7],
    ]);
    expect([...server.consumers.keys()]).toEqual([2]);
    expect(await takeOver(store, "c", ({ member }) => member === null)).toBeUndefined();
  });

  it("takes what it knows itself when it makes its consumer anew", async () => {
    const server = new Server();
    const store = server.store(() => Promise.resolve());
    const owned = (await takeOver(store, "a", () => true))!;
    const again = (await takeOver(store, "a", () => false, { owned, floor: 3, done: [[5, 6]] }))!;
    expect(again.owner).toMatchObject({ epoch: 2, floor: 3, done: [[5, 6]] });
    await takeOver(store, "b", () => true);
    const late = await takeOver(store, "a", () => true, { owned: again, floor: 4, done: [] });
    expect(late, "it is another's by now").toBeUndefined();
    expect(await release(store, again, 4, [], 4)).toBe(false);
    expect(server.entry?.owner).toMatchObject({ member: "b", epoch: 3 });
  });

  it("begins in a stream that was made again with a consumer of a name of its own, and takes away what was made there", async () => {
    const server = new Server();
    const store = server.store(() => Promise.resolve());
    await takeOver(store, "a", () => true);
    await takeOver(store, "b", () => true);
    // b's consumer, made in the new stream at the place where it was in the old one
    server.entry = { ...server.entry!, owner: { ...server.entry!.owner, created: "the former one", floor: 5 } };
    const owned = (await takeOver(store, "a", () => true))!;
    expect(owned.owner).toMatchObject({ created: "c", epoch: 3, reader: 3, done: [], handed: 0 });
    expect(owned.floor).toBe(0);
    expect([...server.consumers.keys()]).toEqual([3]);
  });
});
