import { describe, expect, it } from "vitest";
import { planStream, type StoredStream } from "./stream-plan.ts";

const events = planStream({ name: "events", topics: ["a.>", "b"] }, new Map(), false);
const table = (...streams: readonly StoredStream[]): ReadonlyMap<string, StoredStream> =>
  new Map(streams.map((stream) => [stream.name, stream]));

describe("the plan of a stream", () => {
  it("has every default, and keeps what is not said", () => {
    expect(events).toEqual({
      name: "events",
      topics: ["a.>", "b"],
      partitions: 16,
      maxAgeMs: 604_800_000,
      maxBytes: 1_073_741_824,
      maxMessages: undefined,
      whenFull: "reject",
      idleGroupMs: 604_800_000,
      replicas: 1,
    });
    const changed = planStream({ name: "events", topics: ["b", "a.>"], maxMessages: 5 }, table(events), false);
    expect(changed).toEqual({ ...events, maxMessages: 5 });
    expect(planStream({ name: "events", topics: ["c"] }, table(changed), false)).toEqual({ ...changed, topics: ["c"] });
    expect(planStream({ name: "own", topics: ["c"] }, new Map(), true).partitions).toBe(1);
  });

  it.each([
    ["other partitions", { name: "events", topics: ["a.>"], partitions: 8 }, "BUS_CONFLICT", false],
    ["a topic that is captured", { name: "more", topics: ["x", "b"] }, "BUS_CONFLICT", false],
    ["too many partitions", { name: "x", topics: ["x"], partitions: 257 }, "BUS_INVALID_OPTION", false],
    ["copies", { name: "x", topics: ["x"], replicas: 2 }, "BUS_UNSUPPORTED", false],
    ["waiting for room", { name: "x", topics: ["x"], whenFull: "wait" }, "BUS_UNSUPPORTED", false],
    ["a limit of what is somebody else's", { name: "x", topics: ["x"], maxBytes: 5 }, "BUS_UNSUPPORTED", true],
    ["partitions of somebody else's key", { name: "x", topics: ["x"], partitions: 2 }, "BUS_INVALID_OPTION", true],
  ] as const)("refuses %s", (_, options, code, attached) => {
    expect(() => planStream(options, table(events), attached)).toThrow(expect.objectContaining({ code }));
  });
});
