import { describe, expect, it } from "vitest";
import type { GroupSpec } from "../../driver.ts";
import { ControlFold, type ControlRecord, type FullStream } from "./control-fold.ts";

const stream = (name: string, maxAgeMs = 1): FullStream => ({
  ...{ name, topics: [`${name}.>`], partitions: 2, maxAgeMs, maxBytes: 1, maxMessages: undefined },
  ...{ whenFull: "reject", idleGroupMs: 1, replicas: 1 },
});
const spec = (group: string): GroupSpec => ({
  ...{ group, reads: [{ stream: "events", patterns: [">"] }], from: { at: "oldest" }, order: "none", live: false },
});
const made = (group: string, expect_ = 0, anew = false): ControlRecord => ({
  ...{ is: "group", expect: expect_, spec: spec(group), starts: { events: { topicId: "id", offsets: [3, 4] } }, anew },
});

describe("the control log's fold", () => {
  it("takes the first of two records that expect the same, and one that expects what stands", () => {
    const fold = new ControlFold();
    expect(fold.apply({ is: "stream", expect: 0, options: stream("a", 1) }, 1)).toEqual({ what: "streams", name: "a" });
    expect(fold.apply({ is: "stream", expect: 0, options: stream("a", 2) }, 2)).toBeUndefined();
    expect(fold.streams.get("a")?.options.maxAgeMs).toBe(1);
    expect(fold.apply({ is: "stream", expect: 1, options: stream("a", 3) }, 3)).toBeDefined();
    expect(fold.streams.get("a")).toMatchObject({ revision: 3, options: { maxAgeMs: 3 } });
    expect(fold.apply({ is: "no-stream", expect: 1, name: "a" }, 4)).toBeUndefined();
    expect(fold.apply({ is: "no-stream", expect: 3, name: "a" }, 5)).toBeDefined();
    expect(fold.streams.size).toBe(0);
  });

  it("begins a group's streams anew with a reset, and its queue with a deletion", () => {
    const fold = new ControlFold();
    fold.apply(made("g"), 1);
    fold.apply(made("g", 1), 2);
    expect(fold.groups.get("g")).toMatchObject({ revision: 2, first: 1, since: 1, queue: undefined });
    fold.apply(made("g", 2, true), 3);
    expect(fold.groups.get("g")).toMatchObject({ revision: 3, first: 1, since: 3 });
    const queue = { topicId: "t", offsets: [7] };
    fold.apply({ is: "no-group", expect: 3, name: "g", queue }, 4);
    fold.apply(made("g"), 5);
    expect(fold.groups.get("g")).toMatchObject({ revision: 5, first: 5, since: 5, queue });
  });

  it("is the same from a snapshot and what came after it", () => {
    const records: ControlRecord[] = [
      { is: "layout", version: 1 },
      { is: "stream", expect: 0, options: stream("a") },
      made("g"),
      { is: "delays" },
      { is: "no-group", expect: 3, name: "g", queue: { topicId: "t", offsets: [1] } },
      made("g"),
      made("h"),
    ];
    const whole = new ControlFold();
    for (const [at, record] of records.entries()) whole.apply(record, at + 1);
    for (let cut = 0; cut <= records.length; cut += 1) {
      const before = new ControlFold();
      for (const [at, record] of records.slice(0, cut).entries()) before.apply(record, at + 1);
      const after = new ControlFold();
      after.restore(JSON.parse(JSON.stringify(before.snapshot())) as ReturnType<ControlFold["snapshot"]>);
      for (const [at, record] of records.slice(cut).entries()) after.apply(record, cut + at + 1);
      expect(JSON.stringify(after.snapshot()), `cut at ${cut}`).toBe(JSON.stringify(whole.snapshot()));
    }
  });
});
