import { describe, expect, it } from "vitest";
import { type Batch, Lane, type Parcel } from "./lane.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";

const limits = { batchSize: 4, batchBytes: 1_000 };
const stored: Outcome = { what: "stored" };
const noAnswer: Outcome = { what: "again", certain: false, leaderMoved: false };

/** Takes a try, which is the one that is answered next. */
class Driven {
  readonly lane: Lane;
  sent: Batch | undefined;

  constructor(lane: Lane) {
    this.lane = lane;
  }

  take(now: number, fresh: boolean): Batch | undefined {
    const sent = this.lane.take(now, fresh);
    this.sent = sent ?? this.sent;
    return sent;
  }

  answered(outcome: Outcome, offset: bigint, now: number, sent: Batch | undefined = this.sent): boolean {
    if (sent === undefined) throw new Error("nothing was sent");
    return this.lane.answered(sent, outcome, offset, now);
  }
}

class Told {
  readonly lines: string[] = [];

  parcel(name: string, options: { readonly bytes?: number; readonly deadline?: number } = {}): Parcel {
    return {
      key: undefined,
      value: new Uint8Array(0),
      headers: [],
      bytes: options.bytes ?? 10,
      deadline: options.deadline ?? 10_000,
      stored: (offset) => void this.lines.push(`${name} at ${offset}`),
      failed: (how, error) => void this.lines.push(`${name} ${how} ${(error as { readonly code?: string }).code}`),
    };
  }
}

function laneOf(told: Told, ...names: readonly string[]): Driven {
  const lane = new Lane("t", 0, limits);
  for (const name of names) lane.add(told.parcel(name));
  return new Driven(lane);
}

describe("a lane", () => {
  it("has one batch under way, cut by count and bytes, and gives each record its place", () => {
    const told = new Told();
    const lane = laneOf(told, "a", "b", "c", "d", "e");
    expect(lane.take(0, true)).toMatchObject({ sequence: 0, parcels: { length: 4 } });
    expect(lane.take(0, true)).toBeUndefined();
    expect(lane.answered(stored, 7n, 0)).toBe(false);
    expect(told.lines).toEqual(["a at 7", "b at 8", "c at 9", "d at 10"]);
    expect(lane.take(0, true)).toMatchObject({ sequence: 4, parcels: { length: 1 } });
    lane.lane.add(told.parcel("f", { bytes: 600 }));
    lane.lane.add(told.parcel("g", { bytes: 600 }));
    lane.answered(stored, 11n, 0);
    expect(lane.take(0, true)?.parcels).toHaveLength(1);
  });

  it("tries the same records by the same sequence, later and later, and nothing overtakes them", () => {
    const told = new Told();
    const lane = laneOf(told, "a", "b");
    const first = lane.take(0, true);
    lane.answered(noAnswer, -1n, 0);
    lane.lane.add(told.parcel("c"));
    expect(lane.take(99, true)).toBeUndefined();
    expect(lane.take(100, true)).toEqual(first);
    lane.answered(noAnswer, -1n, 100);
    expect([lane.lane.nextAt, lane.take(299, true)]).toEqual([300, undefined]);
    expect(lane.take(300, true)).toEqual(first);
    lane.answered(stored, 3n, 300);
    expect(told.lines).toEqual(["a at 3", "b at 4"]);
  });

  it("says no when each try was refused, unknown when one was not answered, and a late answer changes nothing", () => {
    const told = new Told();
    const lane = laneOf(told, "a");
    lane.take(0, true);
    lane.answered(outcomeOf(19), -1n, 0);
    expect(lane.lane.expire(10_000)).toBe(false);
    expect(told.lines).toEqual(["a no BUS_TIMEOUT"]);
    lane.lane.add(told.parcel("b", { deadline: 20_000 }));
    lane.lane.add(told.parcel("c", { deadline: 30_000 }));
    lane.take(10_000, true);
    lane.answered(noAnswer, -1n, 10_000);
    lane.take(10_100, true);
    lane.answered(outcomeOf(19), -1n, 10_100); // certain of this try only
    expect(lane.lane.isUncertain).toBe(true);
    expect(lane.lane.expire(20_000)).toBe(true);
    expect(lane.answered(stored, 5n, 20_001)).toBe(false);
    expect(told.lines.slice(1)).toEqual(["b unknown BUS_TIMEOUT", "c unknown BUS_TIMEOUT"]);
  });

  it("does not take a late answer for that of the batch that came after", () => {
    const told = new Told();
    const lane = laneOf(told, "a");
    const first = lane.take(0, true);
    lane.lane.expire(10_000);
    lane.lane.add(told.parcel("b", { deadline: 20_000 }));
    lane.take(10_000, true);
    lane.answered(stored, 5n, 10_001, first);
    expect(told.lines).toEqual(["a unknown BUS_TIMEOUT"]);
    lane.answered(stored, 6n, 10_002);
    expect(told.lines.slice(1)).toEqual(["b at 6"]);
  });

  it("ends what was never sent with a no, and keeps what still has time", () => {
    const told = new Told();
    const lane = new Driven(new Lane("t", 0, { ...limits, batchSize: 1 }));
    for (const [name, deadline] of [
      ["a", 50],
      ["b", 60],
      ["c", 900],
    ] as const)
      lane.lane.add(told.parcel(name, { deadline }));
    lane.take(0, true);
    expect([lane.lane.nextAt, lane.lane.expire(100)]).toEqual([50, true]);
    expect(told.lines).toEqual(["a unknown BUS_TIMEOUT", "b no BUS_TIMEOUT"]);
    expect(lane.lane.isEmpty).toBe(false);
  });

  it("halves what is too large, in order and by the same sequence, down to the one that is", () => {
    const told = new Told();
    const lane = laneOf(told, "a", "b", "c");
    const tooLarge = outcomeOf(10);
    lane.take(0, true);
    lane.answered(tooLarge, -1n, 0);
    expect(lane.take(0, true)).toMatchObject({ sequence: 0, parcels: { length: 2 } });
    lane.answered(tooLarge, -1n, 0);
    expect(lane.take(0, true)).toMatchObject({ sequence: 0, parcels: { length: 1 } });
    lane.answered(tooLarge, -1n, 0);
    expect(told.lines).toEqual(["a no BUS_TOO_LARGE"]);
    expect(lane.take(0, true)).toMatchObject({ sequence: 0, parcels: { length: 2 } });
  });

  it("goes again under a new id when the broker's sequence differs, unless an earlier try may be stored", () => {
    const told = new Told();
    const lane = laneOf(told, "a");
    lane.take(0, true);
    expect(lane.answered(outcomeOf(45), -1n, 0)).toBe(true);
    lane.lane.renewed();
    expect(lane.take(0, true)).toBeUndefined(); // or a broker that never agrees would be asked without a pause
    expect(lane.take(100, true)).toMatchObject({ sequence: 0 });
    lane.answered(noAnswer, -1n, 100);
    expect(lane.take(300, true)).toBeDefined();
    expect(lane.answered(outcomeOf(45), -1n, 300)).toBe(true);
    expect(told.lines).toEqual(["a unknown BUS_SERVER"]);
  });

  it("raises an alarm when a place is given twice", () => {
    const told = new Told();
    const lane = laneOf(told, "a");
    lane.take(0, true);
    lane.answered(stored, 4n, 0);
    lane.lane.add(told.parcel("b"));
    lane.take(0, true);
    expect(lane.answered(stored, 4n, 0)).toBe(true);
    expect(told.lines).toEqual(["a at 4", "b unknown BUS_SERVER"]);
  });

  it("gives a topic that nobody knows two seconds, and takes nothing fresh while an id is renewed", () => {
    const told = new Told();
    const lane = laneOf(told, "a");
    expect(lane.take(0, false)).toBeUndefined();
    for (let now = 0; told.lines.length === 0 && now < 10_000; now = lane.lane.nextAt) {
      lane.take(now, true);
      lane.answered(outcomeOf(3), -1n, now);
    }
    expect(told.lines).toEqual(["a no BUS_NOT_FOUND"]);
  });

  it("takes a leader that moves for no topic that is missing, however long it was away before", () => {
    const told = new Told();
    const lane = laneOf(told, "a");
    lane.lane.notSent(lane.take(0, true)!, 0);
    lane.take(3_000, true);
    lane.answered(outcomeOf(6), -1n, 3_000);
    lane.take(4_000, true);
    lane.answered(outcomeOf(3), -1n, 4_000);
    lane.take(5_000, true);
    lane.answered(outcomeOf(6), -1n, 5_000);
    lane.take(7_000, true);
    lane.answered(outcomeOf(3), -1n, 7_000);
    expect(told.lines).toEqual([]);
    lane.take(8_500, true);
    lane.answered(stored, 0n, 8_500);
    expect(told.lines).toEqual(["a at 0"]);
  });

  it("knows that a topic of another id begins anew, and after an alarm goes on from where that was", () => {
    const told = new Told();
    const lane = laneOf(told);
    const store = (name: string, offset: bigint): void => {
      lane.lane.add(told.parcel(name));
      lane.take(0, true);
      if (lane.answered(stored, offset, 0)) lane.lane.renewed();
    };
    lane.lane.inTopic("one");
    store("a", 0n);
    store("b", 1n);
    lane.lane.inTopic("two");
    store("c", 0n);
    for (const offset of [1n, 2n, 3n]) store(`d${offset}`, offset);
    store("e", 1n);
    store("f", 2n);
    expect(told.lines).toEqual([
      "a at 0",
      "b at 1",
      "c at 0",
      "d1 at 1",
      "d2 at 2",
      "d3 at 3",
      "e unknown BUS_SERVER",
      "f at 2",
    ]);
  });

  it("closes with unknown for what is at the broker and no for the rest", () => {
    const told = new Told();
    const lane = new Driven(new Lane("t", 0, { ...limits, batchSize: 1 }));
    lane.lane.add(told.parcel("a"));
    lane.lane.add(told.parcel("b"));
    lane.take(0, true);
    lane.lane.close({ code: "BUS_CLOSED" });
    expect(told.lines).toEqual(["a unknown BUS_CLOSED", "b no BUS_CLOSED"]);
  });
});
