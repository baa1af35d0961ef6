import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { covers, matchesPattern, overlaps, TopicTrie, withoutCovered } from "./topic-trie.ts";

/** By the definition, token by token from the end of the pattern, without a trie. */
function naive(pattern: readonly string[], topic: readonly string[]): boolean {
  if (pattern.length === 0) return topic.length === 0;
  if (pattern.length === 1 && pattern[0] === ">") return topic.length > 0;
  if (topic.length === 0 || (pattern[0] !== "*" && pattern[0] !== topic[0])) return false;
  return naive(pattern.slice(1), topic.slice(1));
}
const reference = (pattern: string, topic: string): boolean => naive(pattern.split("."), topic.split("."));

/** Every topic of up to six tokens, one more than the longest pattern has; `c` stands for a token that no pattern names. */
const everyTopic = (() => {
  const topics: string[] = [];
  let last = [""];
  for (let length = 1; length <= 6; length += 1) {
    last = last.flatMap((topic) => ["a", "b", "c"].map((token) => (topic === "" ? token : `${topic}.${token}`)));
    topics.push(...last);
  }
  return topics;
})();

const word = fc.constantFrom("a", "b");
const topic = fc
  .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 5 })
  .map((tokens) => tokens.join("."));
const pattern = fc
  .tuple(fc.array(fc.oneof(word, fc.constant("*")), { maxLength: 4 }), fc.constantFrom("a", "b", "*", ">"))
  .map(([tokens, last]) => [...tokens, last].join("."));

describe("TopicTrie", () => {
  it("finds what a naive matcher finds, while patterns come and go", () => {
    const step = fc.record({ add: fc.boolean(), pattern, value: fc.integer({ min: 0, max: 5 }), topic });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const trie = new TopicTrie<number>();
        const model = new Map<string, { readonly pattern: string; readonly value: number }>();
        for (const each of steps) {
          const key = `${each.pattern} ${each.value}`;
          const known = model.has(key);
          const changed = each.add ? trie.add(each.pattern, each.value) : trie.remove(each.pattern, each.value);
          expect(changed).toBe(each.add !== known);
          if (each.add) model.set(key, each);
          else model.delete(key);
          const wanted = [...model.values()].filter((entry) => reference(entry.pattern, each.topic));
          expect(trie.match(each.topic).toSorted()).toEqual([...new Set(wanted.map(({ value }) => value))].toSorted());
          expect(trie.size).toBe(model.size);
        }
      }),
    );
  });

  it("gives a value once, however many of its patterns match", () => {
    const trie = new TopicTrie<string>();
    for (const each of ["a.b", "a.*", "*.b", "a.>", ">"]) trie.add(each, "x");
    expect(trie.match("a.b")).toEqual(["x"]);
  });

  it("takes the names of prototypes for plain words", () => {
    const trie = new TopicTrie<string>();
    trie.add("__proto__.constructor", "x");
    expect(trie.match("__proto__.constructor")).toEqual(["x"]);
    expect(trie.match("constructor")).toEqual([]);
    expect(trie.match("toString")).toEqual([]);
  });

  it("answers alike beyond the number of topics that it remembers", () => {
    const trie = new TopicTrie<string>();
    trie.add("t.*", "x");
    for (let index = 0; index < 5_000; index += 1) trie.match(`t.${index}`);
    expect(trie.match("t.0")).toEqual(["x"]);
    expect(trie.match("u.0")).toEqual([]);
  });
});

describe("matchesPattern", () => {
  it("says what a naive matcher says", () => {
    fc.assert(
      fc.property(pattern, topic, (one, two) => {
        expect(matchesPattern(one, two)).toBe(reference(one, two));
      }),
    );
  });
});

describe("overlaps", () => {
  it("is true when some topic matches both", () => {
    fc.assert(
      fc.property(pattern, pattern, (one, two) => {
        const some = everyTopic.some((each) => reference(one, each) && reference(two, each));
        expect(overlaps(one, two)).toBe(some);
      }),
    );
  });
});

describe("covers", () => {
  it("is true when every topic of the inner matches the outer", () => {
    fc.assert(
      fc.property(pattern, pattern, (outer, inner) => {
        const all = everyTopic.every((each) => !reference(inner, each) || reference(outer, each));
        expect(covers(outer, inner)).toBe(all);
      }),
    );
  });
});

describe("withoutCovered", () => {
  it("leaves patterns that match what all did, and none that another one covers", () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 8 }), (patterns) => {
        const left = withoutCovered(patterns);
        const matched = (those: readonly string[]): readonly string[] =>
          everyTopic.filter((each) => those.some((one) => reference(one, each)));
        expect(matched(left)).toEqual(matched(patterns));
        expect(left.filter((inner) => left.some((outer) => outer !== inner && covers(outer, inner)))).toEqual([]);
        expect(left).toEqual([...new Set(left)].toSorted());
        expect(withoutCovered(patterns.toReversed())).toEqual(left);
      }),
    );
  });

  it("does so for ten thousand patterns at once", () => {
    const many = Array.from({ length: 10_000 }, (_, n) => `orders.o${n}.placed`);
    expect(withoutCovered(many)).toHaveLength(10_000);
    expect(withoutCovered([...many, "orders.*.placed"])).toEqual(["orders.*.placed"]);
  });
});
