import { describe, expect, it } from "vitest";
import { codeOf, until } from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";
import {
  bytes,
  checkOneOfMany,
  checkRevisions,
  checkUntaken,
  listed,
  type StatePair,
  stored,
  text,
} from "../support/state-cases.ts";

const waitMs = (ms: number): Promise<void> => {
  const start = performance.now();
  return until(() => performance.now() - start > ms, `${ms} ms to pass`, ms + 1_000);
};

describe.each(await natsServers())("the state store on $name", (server) => {
  describe.skipIf(server.broker === undefined)("with two processes", () => {
    async function pair(): Promise<StatePair> {
      const world = new NatsWorld(server);
      return { state: (await world.connect()).state!, other: (await world.connect()).state! };
    }

    it("keeps values under revisions, and changes them only where the expected one holds", async () => {
      await checkRevisions(await pair());
    });

    it("lets one of many who want a key at once have it", async () => {
      await checkOneOfMany(await pair());
    });

    it("forgets a value when its time is up, though the server has it still", async () => {
      const { state, other } = await pair();
      await state.put("b", "k", bytes("1"), { ttlMs: 1_000 });
      expect(await other.get("b", "k")).toBeDefined();
      await waitMs(1_010);
      expect(await other.get("b", "k")).toBeUndefined();
      expect(await listed(other.keys("b", ""))).toEqual([]);
      expect(await other.delete("b", "k")).toBe(false);
      expect(await other.put("b", "k", bytes("2"), { expect: null })).toBeDefined();
    });

    it("lists keys by prefix, whatever they are called", async () => {
      const { state } = await pair();
      const names = [
        ...Array.from({ length: 300 }, (_, n) => `a/${String(n).padStart(3, "0")}`),
        ...["a", "b%_", "__proto__", "é😀", "", "*", "a.>", "=", "=41"],
      ];
      await Promise.all(names.map((name) => state.put("b", name, bytes(name), {})));
      await state.put("other", "a/x", bytes(""), {});
      expect(await listed(state.keys("b", "a/"))).toEqual(names.slice(0, 300));
      expect(new Set(await listed(state.keys("b", "")))).toEqual(new Set(names));
      expect(await listed(state.keys("b", "é"))).toEqual(["é😀"]);
      for (const name of names) expect(text((await state.get("b", name))?.value)).toBe(name);
    });

    it("lists what stays there while everything else is replaced and deleted", async () => {
      const { state, other } = await pair();
      const kept = Array.from({ length: 50 }, (_, n) => `kept ${String(n).padStart(2, "0")}`);
      await Promise.all(kept.map((name) => state.put("b", name, bytes(name), {})));
      let listing = true;
      const changing = (async () => {
        for (let n = 0; listing; n += 1) {
          const names = Array.from({ length: 100 }, (_, index) => `moving ${(n * 37 + index) % 150}`);
          await Promise.all(
            names.map((name, index) =>
              index % 3 === 0 ? other.delete("b", name) : other.put("b", name, bytes(String(n)), {}),
            ),
          );
        }
      })();
      try {
        for (let times = 0; times < 15; times += 1) {
          const start = performance.now();
          expect(await listed(state.keys("b", "kept"))).toEqual(kept);
          expect(performance.now() - start).toBeLessThan(3_000);
        }
      } finally {
        listing = false;
        await changing;
      }
    });

    it("shows a watcher what there is, then every change, by whomever, and the end of a lifetime", async () => {
      const { state, other } = await pair();
      await state.put("b", "a1", bytes("old"), {});
      await state.put("b", "a2", bytes("gone"), {});
      await state.delete("b", "a2");
      const controller = new AbortController();
      const seen: string[] = [];
      const watching = (async () => {
        for await (const { key, value } of state.watch("b", "a", controller.signal))
          seen.push(`${key} ${String(text(value))}`);
      })();
      await until(() => seen.length === 1, "what there is");
      await other.put("b", "x", bytes("elsewhere"), {});
      await other.put("b", "a3", bytes("new"), { ttlMs: 1_000 });
      await other.delete("b", "a1");
      await until(
        () => seen.length === 4,
        () => `all, not ${seen.join()}`,
      );
      expect(seen).toEqual(["a1 old", "a3 new", "a1 undefined", "a3 undefined"]);
      controller.abort();
      await watching;
    });

    it("ends a watch with its connection", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const changes = connection.state!.watch("b", "", new AbortController().signal)[Symbol.asyncIterator]();
      const next = changes.next();
      await connection.state!.put("b", "k", bytes("1"), {});
      expect((await next).value?.key).toBe("k");
      const after = codeOf(changes.next());
      await connection.close(AbortSignal.timeout(2_000));
      expect(await after).toBe("BUS_CLOSED");
    });

    it("gives what is due to one process at a time, and again after its lease", async () => {
      const { state, other } = await pair();
      const now = Date.now();
      await state.schedule([stored("late", now + 5_000), stored("b", now - 1), stored("a", now - 2)]);
      const both = await Promise.all([state.due(now, 10, 1_000), other.due(now, 10, 1_000)]);
      expect(
        both
          .flat()
          .map(({ id }) => id)
          .toSorted(),
      ).toEqual(["a", "b"]);
      expect(await other.due(now, 10, 1_000)).toEqual([]);
      expect(await state.unschedule(["a", "none"])).toEqual(["a"]);
      expect((await other.due(now + 1_000, 10, 1_000)).map(({ id }) => id)).toEqual(["b"]);
      await checkUntaken(state, now);
      const late = (await state.due(now + 9_000, 10, 1_000)).find(({ id }) => id === "late");
      expect(late).toEqual(stored("late", now + 5_000));
    });
  });
});
