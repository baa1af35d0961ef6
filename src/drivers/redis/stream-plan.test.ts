import { describe, expect, it } from "vitest";
import { planStream, type StoredStream } from "./stream-plan.ts";

const events = planStream({ name: "events", topics: ["a.>", "b"] }, new Map(), undefined);
const table = (...streams: readonly StoredStream[]): ReadonlyMap<string, StoredStream> =>
  new Map(streams.map((stream) => [stream.name, stream]));

const theirs = planStream({ name: "theirs", topics: ["c"] }, new Map(), { key: "k", body: "data" });

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
      attach: undefined,
    });
    const changed = planStream({ name: "events", topics: ["b", "a.>"], maxMessages: 5 }, table(events), undefined);
    expect(changed).toEqual({ ...events, maxMessages: 5 });
    expect(planStream({ name: "events", topics: ["c"] }, table(changed), undefined)).toEqual({
      ...changed,
      topics: ["c"],
    });
    expect(planStream({ name: "own", topics: ["c"] }, new Map(), { key: "k" }).partitions).toBe(1);
  });

  it("keeps the key of somebody else's also for one who does not name it, and takes other fields", () => {
    const streams = table(theirs);
    expect(planStream({ name: "theirs", topics: ["c"] }, streams, undefined)).toEqual(theirs);
    const attach = { key: "k", topic: "type" };
    expect(planStream({ name: "theirs", topics: ["c"] }, streams, attach)).toEqual({ ...theirs, attach });
  });

  it.each([
    ["other partitions", { name: "events", topics: ["a.>"], partitions: 8 }, "BUS_CONFLICT", undefined],
    ["a topic that is captured", { name: "more", topics: ["x", "b"] }, "BUS_CONFLICT", undefined],
    ["too many partitions", { name: "x", topics: ["x"], partitions: 257 }, "BUS_INVALID_OPTION", undefined],
    ["copies", { name: "x", topics: ["x"], replicas: 2 }, "BUS_UNSUPPORTED", undefined],
    ["waiting for room", { name: "x", topics: ["x"], whenFull: "wait" }, "BUS_UNSUPPORTED", undefined],
    ["a limit of what is somebody else's", { name: "x", topics: ["x"], maxBytes: 5 }, "BUS_UNSUPPORTED", { key: "k" }],
    [
      "partitions of somebody else's key",
      { name: "x", topics: ["x"], partitions: 2 },
      "BUS_INVALID_OPTION",
      { key: "k" },
    ],
    ["to attach what has keys of its own", { name: "events", topics: ["b"] }, "BUS_CONFLICT", { key: "k" }],
    ["another key", { name: "theirs", topics: ["c"] }, "BUS_CONFLICT", { key: "other" }],
    [
      "a limit, said by one who names no key",
      { name: "theirs", topics: ["c"], maxMessages: 5 },
      "BUS_UNSUPPORTED",
      undefined,
    ],
  ] as const)("refuses %s", (_, options, code, attachment) => {
    expect(() => planStream(options, table(events, theirs), attachment)).toThrow(expect.objectContaining({ code }));
  });
});
