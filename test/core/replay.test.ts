import { describe, expect, it } from "vitest";
import type { OutMessage } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { connect } from "../../src/index.ts";
import { DriverError } from "../../src/internal/driver-error.ts";
import { upTo } from "../../src/testing/runs.ts";
import { until } from "../../src/testing/until.ts";
import { Keyed, Seen } from "../support/events.ts";
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
});
