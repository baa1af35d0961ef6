import { describe, expect, it } from "vitest";
import type { OutMessage } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { connect, Reject } from "../../src/index.ts";
import { DriverError } from "../../src/internal/driver-error.ts";
import { upTo } from "../../src/testing/runs.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, Keyed, Seen } from "../support/events.ts";
import { tapped } from "../support/tapped-driver.ts";

describe("replaying many letters", () => {
  it("claims and removes 64 at a time, in order, and leaves those alone that can't be sent", async () => {
    const sizes: number[] = [];
    const refused = (message: OutMessage): boolean => message.to.kind === "queue" && message.key === "bad";
    let isFixed = false;
    const driver = tapped(
      {
        connection: (connection) => {
          const claim = connection.admin.claimLetters.bind(connection.admin);
          connection.admin.claimLetters = (ids, token, leaseMs) => {
            if (leaseMs > 0) sizes.push(ids.length);
            return claim(ids, token, leaseMs);
          };
          return {
            send: (messages) => {
              const bad = isFixed ? [] : messages.filter(refused);
              for (const message of bad) message.failed("no", new DriverError("BUS_AUTHENTICATION", "not this one"));
              connection.send(messages.filter((message) => !bad.includes(message)));
            },
          };
        },
      },
      memory(),
    );
    await using bus = await connect({ driver, retry: { maxAttempts: 1 } });
    const seen = new Seen();
    let isBroken = true;
    await bus.subscribe(Keyed, (event) => (isBroken ? Promise.reject(new Error("broken")) : seen.handle(event)), {
      group: "g",
    });
    await bus.publishMany(upTo(150).map((n) => Keyed.of({ of: n % 50 === 7 ? "bad" : "good", n })));
    await until(async () => (await bus.deadLetters.count()) === 150, "the letters");
    isBroken = false;
    const progress: number[] = [];
    const onProgress = (done: number): void => void progress.push(done);
    expect(await bus.deadLetters.replay({ group: "g" }, { onProgress })).toEqual({ replayed: 147, failed: 3 });
    expect(sizes).toEqual([64, 64, 22]);
    expect(progress).toEqual(upTo(150).map((n) => n + 1));
    await until(() => seen.count === 147, "those that were sent");
    expect(seen.numbers).toEqual(upTo(150).filter((n) => n % 50 !== 7));
    expect(await bus.deadLetters.count()).toBe(3);
    isFixed = true;
    expect(await bus.deadLetters.replay({ group: "g" })).toEqual({ replayed: 3, failed: 0 });
    await until(() => seen.count === 150, "the others, whose claims were given up");
    expect(await bus.deadLetters.count()).toBe(0);
  });

  it("gives every claim up when one letter can't be read, and goes on with the others", async () => {
    let failing = 1;
    const driver = tapped(
      {
        connection: (connection) => {
          const read = connection.admin.letter.bind(connection.admin);
          connection.admin.letter = (id) =>
            failing-- === 0 ? Promise.reject(new Error("connection reset")) : read(id);
          return {};
        },
      },
      memory(),
    );
    await using bus = await connect({ driver, retry: { maxAttempts: 1 } });
    const seen = new Seen();
    let isBroken = true;
    await bus.subscribe(Keyed, (event) => (isBroken ? Promise.reject(new Error("broken")) : seen.handle(event)), {
      group: "g",
    });
    await bus.publishMany(upTo(5).map((n) => Keyed.of({ of: "k", n })));
    await until(async () => (await bus.deadLetters.count()) === 5, "the letters");
    isBroken = false;
    expect(await bus.deadLetters.replay({ group: "g" })).toEqual({ replayed: 4, failed: 1 });
    expect(await bus.deadLetters.replay({ group: "g" })).toEqual({ replayed: 1, failed: 0 });
    await until(() => seen.count === 5, "all of them");
  });

  it("removes what was stored, while one of them has no answer yet, and keeps the claim of that one", async () => {
    let held: OutMessage | undefined;
    const driver = tapped(
      {
        connection: (connection) => ({
          send: (messages) => {
            held ??= messages.find(({ to, key }) => to.kind === "queue" && key === "slow");
            connection.send(messages.filter((message) => message !== held));
          },
        }),
      },
      memory(),
    );
    await using bus = await connect({ driver, retry: { maxAttempts: 1 } });
    let isBroken = true;
    await bus.subscribe(Keyed, () => (isBroken ? Promise.reject(new Error("broken")) : undefined), { group: "g" });
    await bus.publishMany(upTo(5).map((n) => Keyed.of({ of: n === 2 ? "slow" : "k", n })));
    await until(async () => (await bus.deadLetters.count()) === 5, "the letters");
    isBroken = false;
    const replay = bus.deadLetters.replay({ group: "g" });
    await until(() => held !== undefined, "the send");
    await until(async () => (await bus.deadLetters.count()) <= 1, "that the others are removed");
    const [left] = (await bus.deadLetters.list()).items;
    expect(await bus.deadLetters.discard(left!.id)).toBe(0); // claimed
    held!.stored("1");
    expect(await replay).toEqual({ replayed: 5, failed: 0 });
  });
});

describe("replaying a letter of an event that nobody took any more", () => {
  it("goes to all handlers but those that are done, whoever gave it up", async () => {
    const name = fresh("store");
    const options = { group: "g", order: "none", retry: { backoff: () => 20 }, handOnMs: 50 } as const;
    const [old, bus] = [await connect({ driver: memory({ name }) }), await connect({ driver: memory({ name }) })];
    await using _ = bus;
    const done = new Seen();
    await old.subscribe(Keyed, done.handle, { ...options, name: "done" });
    await old.subscribe(Keyed, () => Promise.reject(new Reject("never")), { ...options, name: "gave-up" });
    await old.subscribe(Keyed, () => Promise.reject(new Error("not yet")), { ...options, name: "left" });
    await bus.publish(Keyed, { of: "k", n: 1 });
    await until(() => old.stats().retried > 0, "the retry of the one that is left");
    await old.close();
    const [gaveUp, left] = [new Seen(), new Seen()];
    await bus.subscribe(Keyed, done.handle, { ...options, name: "done" });
    await bus.subscribe(Keyed, gaveUp.handle, { ...options, name: "gave-up" });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    const [letter] = (await bus.deadLetters.list()).items;
    expect(letter).toMatchObject({ reason: { code: "BUS_NO_HANDLER" }, handlers: ["gave-up"] });
    await bus.subscribe(Keyed, left.handle, { ...options, name: "left" });
    expect(await bus.deadLetters.replay(letter!.id)).toEqual({ replayed: 1, failed: 0 });
    await until(() => left.count === 1 && gaveUp.count === 1, "the replay");
    expect(done.count).toBe(1);
  });
});
