import { describe, expect, it } from "vitest";
import { memory } from "../../src/drivers/memory/index.ts";
import { connect, Reject, type SubscribeOptions } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, Keyed, Seen } from "../support/events.ts";

const failing = (): Promise<never> => Promise.reject(new Error("not here"));

/** A member of which one handler is done and the other fails leaves; one that knows only the first is there. */
async function leftUnfinished(
  order: "none" | "group",
  work: Record<string, (event: unknown) => unknown>,
  knows: string,
  options: SubscribeOptions = {},
) {
  const name = fresh("store");
  const [first, other] = [await connect({ driver: memory({ name }) }), await connect({ driver: memory({ name }) })];
  const common = { group: "g", order, retry: { backoff: () => 30, maxAttempts: 100 }, ...options } as const;
  for (const [handler, run] of Object.entries(work)) await first.subscribe(Keyed, run, { ...common, name: handler });
  await other.publish(Keyed, { of: "k", n: 1 });
  await until(() => first.stats().retried > 0, "a retry");
  await first.close();
  const known = new Seen();
  const said: string[] = [];
  other.onStatus(({ type }) => void said.push(type));
  await other.subscribe(Keyed, known.handle, { ...common, name: knows });
  return { other, known, common, said };
}

describe("an event that waits for a handler which this member doesn't have", () => {
  it.each(["none", "group"] as const)(
    "is handed on to one that has it, not acknowledged (order: %s)",
    async (order) => {
      const { other, known, common } = await leftUnfinished(
        order,
        { steady: () => undefined, shaky: failing },
        "steady",
      );
      await using _ = other;
      await until(() => other.stats().delivered > 0, "that it came");
      expect((await other.groups.info("g")).inFlight + (await other.groups.info("g")).scheduled).toBeGreaterThan(0);
      const shaky = new Seen();
      await other.subscribe(Keyed, shaky.handle, { ...common, name: "shaky" });
      await until(() => shaky.count === 1, "the handler that was not done");
      expect(known.count).toBe(0);
      await until(async () => (await other.groups.info("g")).inFlight === 0, "that it is over");
    },
  );

  it("is no dead letter yet, though another of its handlers gave it up", async () => {
    const work = { gone: () => Promise.reject(new Reject("never")), shaky: failing };
    const { other, common, said } = await leftUnfinished("none", work, "gone");
    await using _ = other;
    await until(() => said.includes("unhandled"), "that it came, and is said to have no handler here");
    expect(await other.deadLetters.count()).toBe(0);
    const shaky = new Seen();
    await other.subscribe(Keyed, shaky.handle, { ...common, name: "shaky" });
    await until(async () => (await other.deadLetters.count()) === 1, "the letter, once the other is done");
    expect(shaky.count).toBe(1);
    expect((await other.deadLetters.list()).items[0]).toMatchObject({ handlers: ["gone"] });
  });

  it("is a dead letter when nobody has it for as long as it may be handed on", async () => {
    const { other } = await leftUnfinished("none", { steady: () => undefined, shaky: failing }, "steady", {
      handOnMs: 100,
    });
    await using _ = other;
    await until(async () => (await other.deadLetters.count()) === 1, "the letter", 8_000);
    expect((await other.deadLetters.list()).items[0]!.reason.code).toBe("BUS_NO_HANDLER");
  });
});
