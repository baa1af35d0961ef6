import { describe, expect, it } from "vitest";
import { consume, numbered, publish, until, wide } from "../../../test/support/driver-harness.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";

describe("a tail that retention overtook", () => {
  it.each([
    { patterns: [">"], said: [20] },
    { patterns: ["a.*"], said: [undefined] },
    { patterns: [], said: [] },
  ])("says what it can know: wanting $patterns", async ({ patterns, said }) => {
    const { connection } = await newWorld().connect({
      streams: [{ name: "events", topics: [">"], maxMessages: 10, whenFull: "drop-oldest" }],
    });
    const source = { kind: "tail", stream: "events", from: { at: "newest" }, resume: undefined } as const;
    const { consumption, sink } = await consume(connection, source, { messages: 0, bytes: 0 });
    await consumption.wants(patterns, []);
    const sent = publish(connection, numbered(30));
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
    consumption.window(wide);
    if (patterns.length > 0) await until(() => sink.texts.includes("30"), "what was kept");
    const last = publish(connection, ["last"], { topic: "a.last" });
    await until(() => last[0]!.outcome === "stored", "one more to be stored");
    await consumption.wants([">"], []);
    publish(connection, ["end"]);
    await until(() => sink.texts.includes("end"), "what comes after");
    expect(sink.losses.map(({ count }) => count)).toEqual(said);
  });
});
