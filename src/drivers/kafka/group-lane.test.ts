import { describe, expect, it } from "vitest";
import { GroupLane, type LaneHost } from "./group-lane.ts";
import { parseLedger } from "./ledger-text.ts";
import type { FetchedRecord } from "./record-batch.ts";
import type { Reading } from "./reading.ts";
import { TopicFilter } from "./topic-filter.ts";

/** What was fetched; not shown while it is looked after. */
class Fetched {
  next = 0;
  shown = true;
  readonly #waiting: FetchedRecord[] = [];

  add(offset: number, topic = "wanted"): void {
    const headers = [[Buffer.from("omnibus-topic"), Buffer.from(topic)]] as const;
    this.#waiting.push({ offset, time: offset, key: undefined, value: Buffer.from("{}"), headers });
    this.next = offset + 1;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  peek(): FetchedRecord | undefined {
    return this.shown ? this.#waiting[0] : undefined;
  }

  shift(): void {
    this.#waiting.shift();
  }

  goTo(offset: number): void {
    this.#waiting.length = 0;
    this.next = offset;
  }

  close(): void {
    this.#waiting.length = 0;
  }
}

function laneAt(floor: number, suspect = floor): { readonly lane: GroupLane; readonly fetched: Fetched } {
  const filter = new TopicFilter(["wanted"]);
  const host: LaneHost = {
    ...{ revision: 5, since: () => 1, filter: () => filter, now: () => 0, ticks: () => 0 },
    ...{ floor: () => undefined, covered: () => undefined, refused: () => true },
  };
  const at = { ref: "events/0", lane: "events", topic: "t", partition: 0 };
  const place = { lane: "stream", partition: "events/0", topic: "events" } as const;
  const lane = new GroupLane(host, at, "id", place, { floor, entry: undefined, suspect, since: 1 }, undefined);
  const fetched = new Fetched();
  lane.reading = fetched as unknown as Reading;
  return { lane, fetched };
}

const take = (lane: GroupLane): number | undefined => {
  const message = lane.peek();
  if (message !== undefined) lane.handOut();
  return message?.offset;
};

describe("a partition in its owner's hands", () => {
  it("settles what nobody wants and offsets that hold nothing, and holds its floor below what is in hand", () => {
    const { lane, fetched } = laneAt(0);
    for (const [offset, topic] of [
      [0, "wanted"],
      [1, "else"],
      [4, "wanted"],
    ] as const)
      fetched.add(offset, topic);
    fetched.next = 7;
    expect([take(lane), take(lane), take(lane)]).toEqual([0, 4, undefined]);
    expect(lane.floor).toBe(0);
    lane.settle(lane.hand.get(0)!);
    expect(lane.floor).toBe(4);
    lane.settle(lane.hand.get(4)!);
    expect(lane.floor).toBe(7);
  });

  it("takes what waits and is not shown for no gap", () => {
    const { lane, fetched } = laneAt(0);
    fetched.add(0);
    fetched.shown = false;
    expect(take(lane)).toBeUndefined();
    expect(lane.floor).toBe(0);
    fetched.shown = true;
    expect(take(lane)).toBe(0);
  });

  it("says of what a former owner may have handed out that it was delivered before", () => {
    const { lane, fetched } = laneAt(10, 12);
    for (const offset of [10, 11, 12]) fetched.add(offset);
    const counts = [10, 11, 12].map(() => {
      const { deliveries } = lane.peek()!;
      lane.handOut();
      return deliveries;
    });
    expect(counts).toEqual([2, 2, 1]);
  });

  it("hands out only what the broker knows may be in a handler's hands, and leaves no suspect behind when it ends", () => {
    const { lane, fetched } = laneAt(0);
    fetched.add(0);
    expect(lane.covers(lane.peek()!)).toBe(false);
    const first = lane.commit()!;
    expect(parseLedger(first.offset, first.text, "id")).toMatchObject({ revision: 5, handed: 65 });
    first.confirmed();
    expect(lane.covers(lane.peek()!)).toBe(true);
    lane.handOut();
    lane.finish("kept");
    expect(parseLedger(0, lane.commit()!.text, "id")?.handed).toBe(0);
    lane.finish("cut off");
    expect(parseLedger(0, lane.commit()!.text, "id")?.handed).toBe(1);
  });

  it("forgets what it knew above the end of a log that was cut off there, and reads again what is below", () => {
    const { lane, fetched } = laneAt(80);
    for (let offset = 80; offset < 100; offset += 1) fetched.add(offset);
    while (take(lane) !== undefined);
    for (const offset of [80, 82, 95]) lane.settle(lane.hand.get(offset)!);
    lane.cutOff(90);
    expect([lane.floor, lane.hand.size]).toEqual([81, 0]);
    for (const offset of [81, 82, 89, 90, 95]) fetched.add(offset);
    const [first, ...others] = [lane.peek()!.deliveries, take(lane), take(lane), take(lane), take(lane)];
    expect([first, ...others]).toEqual([2, 81, 89, 90, 95]);
    const below = laneAt(100);
    below.lane.cutOff(90);
    below.fetched.add(90);
    expect([below.lane.floor, take(below.lane)]).toEqual([90, 90]);
  });

  it("has told the broker all only when that has answered, and what changed meanwhile is told again", () => {
    const { lane, fetched } = laneAt(0);
    for (const offset of [0, 1]) fetched.add(offset);
    for (const offset of [0, 1]) expect(take(lane)).toBe(offset);
    lane.settle(lane.hand.get(0)!);
    const first = lane.commit()!;
    expect([lane.changed, lane.isKnown]).toEqual([false, false]);
    lane.settle(lane.hand.get(1)!);
    first.confirmed();
    expect([lane.changed, lane.isKnown]).toEqual([true, false]);
    lane.commit()!.confirmed();
    expect([lane.changed, lane.isKnown]).toEqual([false, true]);
  });

  it("gives a note back to whoever takes it over, and none when it is settled", () => {
    const { lane, fetched } = laneAt(0);
    fetched.add(0);
    take(lane);
    const note = { offset: 0, attempts: 3, notBefore: 9, headers: [["a", "b"]] as const };
    expect(lane.note(note)).toBe(true);
    expect(parseLedger(0, lane.commit()!.text, "id")?.notes).toEqual([note]);
    expect(lane.note({ ...note, headers: [["a", "b".repeat(5_000)]] })).toBe(false);
    expect(parseLedger(0, lane.commit()!.text, "id")?.notes).toEqual([note]);
    lane.settle(lane.hand.get(0)!);
    expect(parseLedger(1, lane.commit()!.text, "id")?.notes).toEqual([]);
  });
});
