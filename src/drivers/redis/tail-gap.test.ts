import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { before } from "./id.ts";
import type { PartitionInfo } from "./stream-info.ts";
import { placeNow, startPlace } from "./tail-gap.ts";

/** A stream of which the oldest go, and a reader that counts. */
class Log {
  readonly entries: string[] = [];
  #time = 1;
  #sequence = 0;
  added = 0;
  last = "0-0";

  add(): void {
    this.added += 1;
    this.last = `${this.#time}-${(this.#sequence += 1)}`;
    this.entries.push(this.last);
  }

  tick(): void {
    this.#time += 9;
    this.#sequence = 0;
  }

  get info(): PartitionInfo {
    const { entries, last, added } = this;
    return { ref: "s:events:0", length: entries.length, first: entries[0], last, added };
  }
}

const indexOf = (id: string): number => {
  const [ms = "", sequence = ""] = id.split("-");
  return Number(ms) * 1e6 + Math.min(Number(sequence), 1e6 - 1);
};

describe("a tail's place", () => {
  it("counts what went unread, whenever it looks, and nothing twice", () => {
    const step = fc.constantFrom("add", "add", "add", "tick", "drop", "read", "look");
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.constantFrom("oldest", "newest"), (steps, at) => {
        const log = new Log();
        for (const _ of [1, 2, 3]) log.add();
        log.entries.shift();
        let { place } = startPlace({ at }, "events/0", log.info);
        let read = 0;
        let lost = 0;
        const expected = at === "oldest" ? log.entries.length : 0;
        const start = log.added;
        for (const each of [...steps, "read", "look"]) {
          if (each === "add") log.add();
          else if (each === "tick") log.tick();
          else if (each === "drop") log.entries.shift();
          else if (each === "read") {
            for (const id of log.entries.filter((entry) => indexOf(entry) > indexOf(place.position))) {
              place = { position: id, counted: place.counted! + 1 };
              read += 1;
            }
          } else {
            const found = placeNow(place, log.info);
            place = found.place;
            lost += found.lost!;
          }
        }
        expect(read + lost).toBe(expected + log.added - start);
      }),
    );
  });

  it("begins behind a position, and says what went between", () => {
    const info = { ref: "s:e:0", length: 2, first: "5-0", last: "7-0", added: 6 };
    const at = (position: string): ReturnType<typeof startPlace> =>
      startPlace({ positions: { "e/0": position } }, "e/0", info);
    expect(at("5-0")).toEqual({ place: { position: "5-0", counted: undefined }, lost: 0 });
    expect(at("7-0")).toEqual({ place: { position: "7-0", counted: 6 }, lost: 0 });
    expect(at("7-1")).toEqual({ place: { position: before("5-0"), counted: 4 }, lost: 0 });
    expect(at("0-0")).toEqual({ place: { position: before("5-0"), counted: 4 }, lost: 4 });
    expect(at("3-0").lost).toBeUndefined();
    expect(at(before("5-0")).lost).toBe(0);
    expect(() => at("x")).toThrow("not the id of an entry");
  });

  it("begins at a time: the newest when that is still to come", () => {
    const info = { ref: "s:e:0", length: 2, first: "5-0", last: "7-0", added: 6 };
    const at = (time: number): ReturnType<typeof startPlace>["place"] => startPlace({ time }, "e/0", info).place;
    expect(at(9)).toEqual({ position: "7-0", counted: 6 });
    expect(at(7)).toEqual({ position: before("7-0"), counted: undefined });
    expect(at(1)).toEqual({ position: before("5-0"), counted: 4 });
  });

  it("takes a stream that ends before it for another one", () => {
    const info = { ref: "s:e:0", length: 1, first: "2-0", last: "2-0", added: 1 };
    expect(placeNow({ position: "9-0", counted: 9 }, info)).toEqual({
      place: { position: before("2-0"), counted: 0 },
      lost: 0,
    });
  });

  it("does not know how many went when it did not count", () => {
    const info = { ref: "s:e:0", length: 1, first: "8-0", last: "8-0", added: 9 };
    expect(placeNow({ position: "3-0", counted: undefined }, info).lost).toBeUndefined();
    expect(placeNow({ position: "8-0", counted: undefined }, info)).toEqual({
      place: { position: "8-0", counted: 9 },
      lost: 0,
    });
  });
});
