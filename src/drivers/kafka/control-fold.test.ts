import { describe, expect, it } from "vitest";
import type { GroupSpec } from "../../driver.ts";
import { ControlFold, type ControlRecord, type FullStream, sinceOf } from "./control-fold.ts";

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

  it("puts back the partitions that a record lets begin earlier, and no other ones", () => {
    const fold = new ControlFold();
    const back = (expect_: number, offsets: readonly number[], topicId = "id"): ControlRecord => ({
      ...{ is: "group", expect: expect_, spec: spec("g"), starts: { events: { topicId, offsets } } },
    });
    const since = (partition: number): number => sinceOf(fold.groups.get("g")!, "events", partition);
    fold.apply(made("g"), 1); // at 3 and 4
    fold.apply(back(1, [3, 2]), 2);
    expect([since(0), since(1), fold.groups.get("g")?.since]).toEqual([1, 2, 1]);
    fold.apply(back(2, [1, 2]), 3);
    expect([since(0), since(1)]).toEqual([3, 2]);
    fold.apply(back(3, [0, 0], "another"), 4);
    expect([since(0), since(1)]).toEqual([3, 2]);
    fold.apply(made("g", 4, true), 5);
    expect([since(0), since(1)]).toEqual([5, 5]);
  });

  it("knows of a group that was made again where the former one stood, until a reset", () => {
    const fold = new ControlFold();
    fold.apply(made("g"), 1);
    const places = { events: { topicId: "id", offsets: [9, 9] } };
    fold.apply({ is: "no-group", expect: 1, name: "g", queue: undefined, places }, 2);
    fold.apply(made("g"), 3);
    fold.apply(made("g", 3), 4);
    expect(fold.groups.get("g")?.former).toEqual({ first: 1, places });
    fold.apply(made("g", 4, true), 5);
    expect(fold.groups.get("g")?.former).toBeUndefined();
  });

  it("takes the first of two streams of one topic, and of two groups of one id, which stays its own", () => {
    const fold = new ControlFold();
    const attached = { topic: "t", eventTopic: "t" };
    expect(fold.apply({ is: "stream", expect: 0, options: { ...stream("a"), attached } }, 1)).toBeDefined();
    expect(fold.apply({ is: "stream", expect: 0, options: { ...stream("b"), attached } }, 2)).toBeUndefined();
    expect(fold.apply({ is: "stream", expect: 1, options: { ...stream("a", 9), attached } }, 3)).toBeDefined();
    expect(fold.apply({ ...made("g"), id: "theirs" } as ControlRecord, 4)).toBeDefined();
    expect(fold.apply({ ...made("h"), id: "theirs" } as ControlRecord, 5)).toBeUndefined();
    expect(fold.apply({ ...made("g", 4), id: "another" } as ControlRecord, 6)).toBeDefined();
    expect(fold.apply(made("g", 6, true), 7)).toBeDefined();
    const later = new ControlFold();
    later.restore(JSON.parse(JSON.stringify(fold.snapshot())) as ReturnType<ControlFold["snapshot"]>);
    for (const each of [fold, later]) {
      expect(each.groups.get("g")?.id).toBe("theirs");
      expect(each.streams.get("a")?.options.attached).toEqual(attached);
    }
  });

  it("is the same from a snapshot and what came after it", () => {
    const records: ControlRecord[] = [
      { is: "layout", version: 1 },
      { is: "stream", expect: 0, options: stream("a") },
      made("g"),
      { is: "delays" },
      { is: "no-group", expect: 3, name: "g", queue: { topicId: "t", offsets: [1] }, places: {} },
      made("g"),
      made("h"),
      { is: "group", expect: 7, spec: spec("h"), starts: { events: { topicId: "id", offsets: [0, 4] } } },
      { is: "no-group", expect: 6, name: "g", queue: undefined, places: {} },
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

  it("knows what the last thousand deleted groups left, so that a snapshot does not grow for ever", () => {
    const fold = new ControlFold();
    const places = { events: { topicId: "id", offsets: [9, 9] } };
    const queue = { topicId: "t", offsets: [7] };
    for (let n = 0; n < 1_100; n += 1) {
      fold.apply(made(`g${n}`), 2 * n + 1);
      fold.apply({ is: "no-group", expect: 2 * n + 1, name: `g${n}`, queue, places }, 2 * n + 2);
    }
    const { queues, former } = fold.snapshot();
    for (const left of [queues, former]) {
      expect(left.length).toBe(1_000);
      expect(left.at(-1)?.[0]).toBe("g1099");
      expect(left[0]?.[0]).toBe("g100");
    }
  });
});
