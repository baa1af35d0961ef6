import { expect, it } from "vitest";
import { TopicTrie } from "../../internal/topic-trie.ts";
import { regexOf } from "./pattern-regex.ts";

const topics = ["a", "a.b", "a.b.c", "ab", "x.b", "größe.7", "a-b.c_d", "a+b.c", "a.b.cc"];

it.each([["a.*"], ["a.>"], ["*.b"], ["*"], ["a.b", "x.*"], ["größe.*"], ["a-b.c_d"], ["a+b.*"], ["*.*.c"]])(
  "takes of %j what the pattern takes, and no more",
  (...patterns) => {
    const trie = new TopicTrie<true>();
    for (const pattern of patterns) trie.add(pattern, true);
    const regex = new RegExp(regexOf(patterns) ?? ".*");
    for (const topic of topics) expect([topic, regex.test(topic)]).toEqual([topic, trie.match(topic).length > 0]);
  },
);

it("asks for nothing where everything is wanted", () => {
  expect(regexOf(["a.b", ">"])).toBeNull();
});
