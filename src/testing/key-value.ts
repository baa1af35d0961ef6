import assert from "node:assert/strict";
import type { KeyValueChange } from "../key-value.ts";
import { isBusError } from "../errors.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

const codeOf = (error: unknown): string => (isBusError(error) ? error.code : String(error));
const all = async <Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> => {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
};

/** What a watch has said so far. */
class Watched<T> {
  readonly changes: KeyValueChange<T>[] = [];
  ended = false;
  failure: unknown;

  constructor(watch: AsyncIterable<KeyValueChange<T>>) {
    void this.#read(watch);
  }

  async #read(watch: AsyncIterable<KeyValueChange<T>>): Promise<void> {
    try {
      for await (const change of watch) this.changes.push(change);
    } catch (error) {
      this.failure = error;
    }
    this.ended = true;
  }

  /** What stands there now as far as was said. */
  get now(): Readonly<Record<string, T>> {
    const values = new Map<string, T>();
    for (const { key, value } of this.changes)
      if (value === undefined) values.delete(key);
      else values.set(key, value);
    return Object.fromEntries([...values].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  async says(wanted: Readonly<Record<string, T>>): Promise<void> {
    const text = JSON.stringify(wanted);
    await until(
      () => this.failure !== undefined || JSON.stringify(this.now) === text,
      () => `the watch to say ${text}; it says ${JSON.stringify(this.now)}`,
    );
    assert.equal(this.failure, undefined);
  }
}

/** Values beside the events: one writer wins, all read the same, nobody misses a change. */
export function keyValueTests({ test }: Suite): void {
  test({ name: "keeps a value for every process until it is deleted", needs: ["state"] }, async (lab) => {
    const [one, two] = [(await lab.bus()).kv("b"), (await lab.bus()).kv("b")];
    const value = { text: 'ü "quoted"\u2028', list: [1, null, { deep: true }] };
    assert.equal(await two.get("k"), undefined);
    const revision = await one.put("k", value);
    assert.deepEqual(await two.get("k"), { value, revision });
    assert.equal(await (await lab.bus()).kv("c").get("k"), undefined, "another bucket is another");
    assert.equal(await two.delete("k"), true);
    assert.equal(await one.delete("k"), false);
    assert.equal(await one.get("k"), undefined);
  });

  test({ name: "keeps bytes as they are, and refuses what is no JSON", needs: ["state"] }, async (lab) => {
    const bus = await lab.bus({ maxMessageBytes: 2_000 });
    const bytes = bus.kv<Uint8Array>("bytes", { encoding: "bytes" });
    const every = Uint8Array.from({ length: 256 }, (_, at) => at);
    await bytes.put("every", every);
    await bytes.put("none", new Uint8Array(0));
    assert.deepEqual([...(await bytes.get("every"))!.value], [...every]);
    assert.equal((await bytes.get("none"))!.value.byteLength, 0);
    await assert.rejects(bytes.put("k", "text" as never), { code: "BUS_INVALID_OPTION" });
    await assert.rejects(bytes.put("k", new Uint8Array(2_001)), { code: "BUS_TOO_LARGE" });
    const json = bus.kv("json");
    await assert.rejects(json.put("k", 1n), { code: "BUS_INVALID_DATA" });
    await assert.rejects(json.put("", 1), { code: "BUS_INVALID_OPTION" });
    await assert.rejects(json.put("\ud800", 1), { code: "BUS_INVALID_OPTION" });
    await assert.rejects(json.put("k".repeat(513), 1), { code: "BUS_INVALID_OPTION" });
    assert.deepEqual(await all(json.keys()), []);
    await assert.rejects(bus.kv("bytes").get("every"), { code: "BUS_UNDECODABLE" });
  });

  test(
    {
      name: "lets one of many create, and one of many update",
      needs: ["state"],
      short: { writers: 12 },
      full: { writers: 100 },
    },
    async (lab, { writers }) => {
      const buckets = [(await lab.bus()).kv<number>("b"), (await lab.bus()).kv<number>("b")] as const;
      const race = async (write: (n: number) => Promise<string>): Promise<string> => {
        const tries = await Promise.allSettled(Array.from({ length: writers }, (_, n) => write(n)));
        const won = tries.filter((each) => each.status === "fulfilled");
        const lost = tries.filter((each) => each.status === "rejected");
        assert.equal(won.length, 1);
        assert.deepEqual(new Set(lost.map(({ reason }) => codeOf(reason))), new Set(["BUS_CONFLICT"]));
        return won[0]!.value;
      };
      const created = await race((n) => buckets[n % 2]!.create("k", n));
      const updated = await race((n) => buckets[n % 2]!.update("k", 1_000 + n, created));
      assert.equal((await buckets[0].get("k"))?.revision, updated);
      assert.ok((await buckets[1].get("k"))!.value >= 1_000);
      assert.equal(await buckets[0].delete("k", created), false);
      assert.equal(await buckets[0].delete("k", updated), true);
      await assert.rejects(buckets[1].update("k", 1, updated), { code: "BUS_CONFLICT" });
      await buckets[1].create("k", 1);
    },
  );

  test(
    { name: "forgets a value when its time is over, and each write begins it anew", needs: ["state"] },
    async (lab) => {
      const bus = await lab.bus();
      const short = bus.kv<number>("b", { maxAgeMs: 1_200 });
      await bus.kv<number>("b").put("stays", 1);
      const from = performance.now();
      await short.put("goes", 1);
      await short.put("again", 1);
      await until(() => performance.now() - from > 700, "some of its time");
      const written = performance.now();
      await short.put("again", 2);
      await until(async () => (await short.get("goes")) === undefined, "that it goes");
      assert.ok(performance.now() - from > 1_100, `gone after ${performance.now() - from} ms`);
      await until(async () => (await short.get("again")) === undefined, "that the other goes");
      assert.ok(performance.now() - written > 1_100, `gone after ${performance.now() - written} ms`);
      assert.deepEqual(await all(bus.kv("b").keys()), ["stays"]);
      await short.create("goes", 3);
    },
  );

  test(
    {
      name: "lists the keys that begin with a prefix, whatever characters they have",
      needs: ["state"],
      short: { keys: 300 },
      full: { keys: 5_000 },
    },
    async (lab, { keys }) => {
      const kv = (await lab.bus()).kv<number>("b");
      const odd = [
        "a",
        "a.b",
        "a..b",
        ".",
        "*",
        ">",
        "a*",
        "{a}",
        "a b",
        "a:b",
        "%41",
        "ü/ñ",
        "💥",
        "\0",
        "a\n",
        "K",
        "k",
      ];
      await Promise.all(odd.map((key, n) => kv.put(key, n)));
      assert.deepEqual((await all(kv.keys())).toSorted(), odd.toSorted());
      for (const [n, key] of odd.entries()) assert.equal((await kv.get(key))?.value, n, JSON.stringify(key));
      assert.deepEqual((await all(kv.keys("a"))).toSorted(), odd.filter((key) => key.startsWith("a")).toSorted());
      assert.deepEqual(await all(kv.keys("*")), ["*"]);
      for (let from = 0; from < keys; from += 100)
        await Promise.all(Array.from({ length: 100 }, (_, n) => kv.put(`many/${from + n}`, n)));
      assert.equal(new Set(await all(kv.keys("many/"))).size, Math.ceil(keys / 100) * 100);
    },
  );

  test({ name: "watches what is there, and then what changes", needs: ["state"] }, async (lab) => {
    const [one, two] = [await lab.bus(), await lab.bus()];
    const [here, there] = [one.kv<number>("b"), two.kv<number>("b")];
    await there.put("p/old", 1);
    await there.put("other", 1);
    const stop = new AbortController();
    const watched = new Watched(here.watch("p/", { signal: stop.signal }));
    await watched.says({ "p/old": 1 });
    const revision = await there.put("p/new", 2);
    await here.put("p/mine", 3);
    await watched.says({ "p/mine": 3, "p/new": 2, "p/old": 1 });
    assert.equal(watched.changes.find(({ key }) => key === "p/new")?.revision, revision);
    await there.put("p/old", 4);
    await there.delete("p/new");
    await there.put("other", 5);
    await watched.says({ "p/mine": 3, "p/old": 4 });
    assert.ok(watched.changes.every(({ key }) => key.startsWith("p/")));
    stop.abort();
    await until(() => watched.ended, "the end of the watch");
    assert.equal(watched.failure, undefined);
    const last = new Watched(here.watch());
    await last.says({ other: 5, "p/mine": 3, "p/old": 4 });
    await one.close();
    await until(() => last.ended, "the end with the bus");
    assert.equal(last.failure, undefined);
    await assert.rejects(here.get("p/old"), { code: "BUS_CLOSED" });
    await assert.rejects(all(here.watch()), { code: "BUS_CLOSED" });
  });

  test(
    {
      name: "keeps its values over a restart of the broker, and goes on watching",
      needs: ["state", "durable", "restart"],
      timeoutMs: 120_000,
    },
    async (lab) => {
      const [one, two] = [await lab.bus(), await lab.bus()];
      const kv = one.kv<number>("b");
      for (const key of ["stays", "moves", "goes"]) await kv.put(key, 1);
      const watched = new Watched(two.kv<number>("b").watch());
      await watched.says({ goes: 1, moves: 1, stays: 1 });
      await lab.world.restart?.();
      const later = (await lab.bus()).kv<number>("b");
      assert.equal((await later.get("stays"))?.value, 1);
      await later.put("moves", 2);
      await later.delete("goes");
      await watched.says({ moves: 2, stays: 1 });
      assert.deepEqual(
        watched.changes.filter(({ key }) => key === "stays").map(({ value }) => value),
        [1],
        "said once",
      );
      await until(
        () =>
          kv.get("moves").then(
            (entry) => entry?.value === 2,
            () => false,
          ),
        "the first bus to read again",
      );
    },
  );

  test(
    { name: "refuses key-value where there is no state store, and says what to do", lacks: "state" },
    async (lab) => {
      const kv = (await lab.bus()).kv<number>("b");
      const asked: readonly (() => Promise<unknown>)[] = [
        () => kv.get("k"),
        () => kv.put("k", 1),
        () => kv.create("k", 1),
        () => kv.delete("k"),
        () => all(kv.keys()),
        () => all(kv.watch()),
      ];
      for (const ask of asked)
        await assert.rejects(ask(), (error) => codeOf(error) === "BUS_UNSUPPORTED" && String(error).includes("state"));
    },
  );
}
