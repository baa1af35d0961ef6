import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameReader, FrameWriter } from "./frame.ts";
import { InHand } from "./in-hand.ts";
import { Keys } from "./keys.ts";
import { readDelivered, type RedisMessage } from "./message.ts";

const keys = new Keys("p");

/** One answer of the server with these entries, each with a body of 100 bytes. */
function answer(entries: readonly (readonly [ref: string, id: string])[]): readonly RedisMessage[] {
  const frame = new FrameWriter();
  for (const [ref, id] of entries) {
    frame.short(ref).uint(1).short(id).uint(1).short("a.b").short("").text("").bytes(Buffer.alloc(100, id)).text("");
  }
  return readDelivered(new FrameReader(Buffer.from(frame.finish())), keys, 0);
}

describe("what is in hand", () => {
  it("finds after any losses what the server holds for us and nobody here has", () => {
    const entry = fc.tuple(
      fc.constantFrom("s:a:0", "s:a:1"),
      fc.nat(50).map((ms) => `${ms}-0`),
    );
    const unique = fc.uniqueArray(entry, { selector: ([ref, id]) => `${ref} ${id}`, maxLength: 40 });
    fc.assert(
      fc.property(
        unique,
        fc.array(fc.constantFrom("here", "lost", "settled"), { minLength: 40, maxLength: 40 }),
        (all, fates) => {
          const of = (fate: string): typeof all => all.filter((_, index) => fates[index] === fate);
          const hand = new InHand();
          const came = answer([...of("here"), ...of("settled")]);
          hand.add(came);
          for (const message of came.slice(of("here").length)) hand.remove(message);
          // what was settled is no longer pending at the server
          const pending = [...of("here"), ...of("lost")].map(([ref, id]) => ({ ref, id, count: 0 }));
          expect(hand.missing(pending).map(({ ref, id }) => [ref, id])).toEqual(of("lost"));
          expect(hand.size).toBe(of("here").length);
          expect([...hand.all()]).toHaveLength(of("here").length);
        },
      ),
    );
  });

  it("keeps the order in which they came, by partition", () => {
    const hand = new InHand();
    hand.add(
      answer([
        ["s:a:0", "1-0"],
        ["s:a:1", "1-0"],
        ["s:a:0", "2-0"],
      ]),
    );
    hand.add(answer([["s:a:0", "3-0"]]));
    expect([...hand.of("s:a:0")].map(({ id }) => id)).toEqual(["1-0", "2-0", "3-0"]);
    expect(hand.refs()).toEqual(["s:a:0", "s:a:1"]);
  });

  it("lets the last message of an answer keep no more memory than its own", () => {
    const hand = new InHand();
    const messages = answer([
      ["s:a:0", "1-0"],
      ["s:a:0", "2-0"],
      ["s:a:0", "3-0"],
    ]);
    hand.add(messages);
    const [first, second, last] = messages as [RedisMessage, RedisMessage, RedisMessage];
    const before = Buffer.from(last.body);
    hand.remove(first);
    expect(last.body.buffer.byteLength).toBeGreaterThan(300);
    hand.remove(second);
    expect(last.body.buffer.byteLength).toBe(100);
    expect(Buffer.from(last.body)).toEqual(before);
  });

  it("does not take a message for a later handing out of the same entry", () => {
    const hand = new InHand();
    const [first] = answer([["s:a:0", "1-0"]]);
    const [again] = answer([["s:a:0", "1-0"]]);
    hand.add([again!]);
    hand.remove(first!);
    expect(hand.size).toBe(1);
  });
});
