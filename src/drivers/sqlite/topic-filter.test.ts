import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesPattern } from "../../internal/topic-trie.ts";
import { TopicFilter } from "./topic-filter.ts";

const token = fc.constantFrom("a", "b", "orders", "x[1]", "q?");
const topics = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."));
const patterns = fc
  .tuple(fc.array(fc.oneof(token, fc.constant("*")), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([tokens, rest]) => [...tokens, ...(rest ? [">"] : [])].join("."));

describe("a filter of topics", () => {
  it("matches as the patterns do", () => {
    fc.assert(
      fc.property(topics, fc.array(patterns, { maxLength: 4 }), (topic, list) => {
        expect(new TopicFilter(list).matches(topic)).toBe(list.some((pattern) => matchesPattern(pattern, topic)));
      }),
    );
  });

  it("asks the database for no less than it matches", () => {
    const glob = new DatabaseSync(":memory:").prepare("SELECT ? GLOB ? AS yes");
    fc.assert(
      fc.property(topics, patterns, (topic, pattern) => {
        const { globs } = new TopicFilter([pattern]);
        if (matchesPattern(pattern, topic) && globs !== undefined)
          expect(globs.some((each) => glob.get(topic, each)?.["yes"] === 1)).toBe(true);
      }),
    );
  });

  it("leaves everything, and many patterns, to itself", () => {
    expect(new TopicFilter([">"]).globs).toBeUndefined();
    expect(new TopicFilter(Array.from({ length: 9 }, (_, n) => `a.${n}`)).globs).toBeUndefined();
    expect(new TopicFilter(["a.>", "b.*.c"]).globs).toEqual(["a.*", "b.*.c"]);
  });
});
