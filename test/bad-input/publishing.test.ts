import { describe, expect, it } from "vitest";
import { connect, outgoing, type PublishOptions } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { failureOf, onMemory, Seen, stillWorks as works, Tick } from "../support/events.ts";

describe("wrong options of a publish", () => {
  const odd = "\u202E";
  const wrong: readonly [string, object][] = [
    ...[-1, Number.NaN, "5", Number.POSITIVE_INFINITY, 2 ** 53 + 2].map((delayMs): [string, object] => [
      `delayMs ${delayMs}`,
      { delayMs },
    ]),
    ["at that is no date", { at: new Date(Number.NaN) }],
    ["at that is a number", { at: 7 }],
    ["delayMs and at", { delayMs: 1, at: new Date() }],
    ["a delayed at-most-once", { delayMs: 1, delivery: "at-most-once" }],
    ["time that is no date", { time: new Date(Number.NaN) }],
    ["an unknown priority", { priority: "urgent" }],
    ["an unknown option", { delay: 5 }],
    ["an empty id", { id: "" }],
    ["an id with a line end", { id: "a\nb" }],
    ["an id of a megabyte", { id: "x".repeat(1_000_000) }],
    ["an id that is a number", { id: 7 }],
    ["an id with half a surrogate pair", { id: "\uD800" }],
    ["an id that changes direction", { id: `a${odd}b` }],
    ["an empty key", { key: "" }],
    ["a key of a megabyte", { key: "x".repeat(1_000_000) }],
    ["a key that is an object", { key: {} }],
    ["a key with NUL", { key: "a\0b" }],
    ["maxAttempts 0", { maxAttempts: 0 }],
    ["maxAttempts 1.5", { maxAttempts: 1.5 }],
    ["timeoutMs 0", { timeoutMs: 0 }],
    ["timeoutMs NaN", { timeoutMs: Number.NaN }],
    ["a signal that is none", { signal: { aborted: true } }],
    ["metadata that is a list", { metadata: [] }],
    ["metadata with a BigInt", { metadata: { big: 1n } }],
    ["metadata with a function", { metadata: { run: () => 1 } }],
    ["a source that is no URI-reference", { source: "a b" }],
    ["a correlationId with a tab", { correlationId: "a\tb" }],
  ];
  for (const [what, options] of wrong) {
    for (const encode of what.startsWith("metadata with") ? [true] : [true, false]) {
      it(`${what} is refused${encode ? "" : " without encoding, too"}; nothing is stored, the bus works on`, async () => {
        await using bus = await connect("memory:", { memory: { encode } } as never);
        const failure = await failureOf(bus.publish(Tick, { n: 1 }, options as PublishOptions));
        expect(failure.code).toMatch(/^BUS_INVALID_(OPTION|DATA)$/);
        expect(failure.message.length).toBeLessThan(400);
        expect((await bus.streams.info("events")).messages).toBe(0);
        await works(bus);
      });
    }
  }

  it("odd but legal ids and keys are plain data", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "__proto__", name: "constructor", order: "none" });
    const odd = [
      "__proto__",
      "constructor",
      "toString",
      "hasOwnProperty",
      "a/b",
      "..",
      "-rf",
      "{tag}",
      "😀",
      "É",
      "E\u0301",
      " spaced ",
    ];
    for (const each of odd) await bus.publish(Tick, { n: 1 }, { id: each, key: each });
    await until(() => seen.count === odd.length, "all of them");
    expect(seen.events.map(({ id, key }) => `${id} ${key}`).toSorted()).toEqual(
      odd.map((each) => `${each} ${each}`).toSorted(),
    );
  });

  it("lists of items that are none are refused", async () => {
    await using bus = await onMemory();
    for (const items of [undefined, null, 7, {}, "items"])
      expect(await failureOf(bus.publishMany(items as never))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    for (const items of [[7], [undefined], [{ topic: 7 }]])
      expect(await bus.publishMany(items as never)).toMatchObject([{ error: { code: "BUS_INVALID_OPTION" } }]);
    expect(await failureOf(bus.publishMany([], { singal: 1 } as never))).toMatchObject({
      message: expect.stringContaining('did you mean "signal"') as string,
    });
    expect(await bus.publishMany([outgoing("a.b", 1)])).toMatchObject([{ ok: true }]);
    await works(bus);
  });
});

describe("wrong options of the rest", () => {
  it("are refused by name", async () => {
    await using bus = await onMemory();
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    const wrong: readonly (() => unknown)[] = [
      () => bus.health({ timeoutMs: Number.NaN }),
      () => bus.health({ timeout: 5 } as never),
      () => bus.deadLetters.list({ limit: 0 }),
      () => bus.deadLetters.list({ gruop: "g" } as never),
      () => bus.deadLetters.count({ before: new Date(Number.NaN) }),
      () => bus.deadLetters.replay({}, { ratePerSecond: -1 }),
      () => bus.deadLetters.replay({}, { data: {} }),
      () => bus.groups.recover("g", { idleMs: Number.NaN }),
      () => bus.groups.reset("g", "now" as never),
      () => bus.groups.update("g", []),
      () => bus.streams.ensure({ name: "x", topics: ["x"], partitions: 0 }),
      () => bus.streams.ensure({ name: "x", topics: ["x"] }, { dryrun: true } as never),
      () => bus.streams.trim("events", new Date(Number.NaN)),
      () => bus.within({ sesion: "s" } as never, () => undefined),
      () => bus.onStatus(undefined as never),
    ];
    const accepted: string[] = [];
    for (const call of wrong) {
      const code = await (async () => call())().then(
        () => "accepted",
        (error: { readonly code?: string }) => error.code ?? "some other error",
      );
      if (code !== "BUS_INVALID_OPTION") accepted.push(`${String(call)}: ${code}`);
    }
    expect(accepted).toEqual([]);
  });

  for (const options of [{ timeoutMs: Number.NaN }, { timeoutMs: -5 }, { timeout: 5 }]) {
    const shown = JSON.stringify(options);
    it(`${shown} is refused by unsubscribe, and the subscription runs on`, async () => {
      await using bus = await onMemory();
      const subscription = await bus.subscribe(Tick, () => undefined, { group: "g" });
      expect(await failureOf((async () => subscription.unsubscribe(options))())).toMatchObject({
        code: "BUS_INVALID_OPTION",
      });
      expect(subscription.state).toBe("running");
    });

    it(`${shown} is refused by close, and the bus works on`, async () => {
      await using bus = await onMemory();
      expect(await failureOf((async () => bus.close(options))())).toMatchObject({ code: "BUS_INVALID_OPTION" });
      await works(bus);
    });
  }
});
