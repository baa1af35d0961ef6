import { describe, expect, it } from "vitest";
import {
  connectTo,
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  publish,
  until,
} from "../../../test/support/driver-harness.ts";
import type { StoredMessage } from "../../driver.ts";
import { memory } from "./index.ts";
import { Letters } from "./letters.ts";

function letter(id: string, group = "g", text = ""): StoredMessage {
  return {
    id,
    to: { kind: "queue", group, topic: "t" },
    group,
    topic: "t",
    key: undefined,
    headers: [],
    body: new TextEncoder().encode(text),
    storedAt: 0,
    notBefore: undefined,
  };
}

const ids = (letters: readonly StoredMessage[]) => letters.map(({ id }) => id);

describe("dead letters", () => {
  it("are listed oldest first, by group and in pages, even when the cursor's letter has gone", () => {
    const letters = new Letters();
    for (const id of ["a", "b", "c", "d"]) letters.keep(letter(id, id === "c" ? "h" : "g"), 10);
    expect(ids(letters.list(undefined, undefined, 10))).toEqual(["a", "b", "c", "d"]);
    expect(ids(letters.list("g", "a", 1))).toEqual(["b"]);
    expect(letters.claim(["b"], "me", 1_000, 0)).toEqual(["b"]);
    expect(letters.remove(["b"], "me")).toEqual(["b"]);
    expect(ids(letters.list("g", "b", 10))).toEqual(["d"]);
    expect([letters.count(undefined), letters.count("g"), letters.count("h")]).toEqual([3, 2, 1]);
  });

  it("are one per id: a second one takes the place of the first, and its claim", () => {
    const letters = new Letters();
    letters.keep(letter("a", "g", "old"), 10);
    letters.keep(letter("b"), 10);
    letters.claim(["a"], "me", 1_000, 0);
    letters.keep(letter("a", "g", "new"), 10);
    expect(ids(letters.list("g", undefined, 10))).toEqual(["a", "b"]);
    expect(new TextDecoder().decode(letters.get("a")!.body)).toBe("new");
    expect(letters.remove(["a"], "me")).toEqual([]);
  });

  it("are one operator's while his claim lasts", () => {
    const letters = new Letters();
    letters.keep(letter("a"), 10);
    expect(letters.claim(["a", "nothing"], "me", 1_000, 0)).toEqual(["a"]);
    expect(letters.claim(["a"], "you", 1_000, 999)).toEqual([]);
    expect(letters.claim(["a"], "me", 1_000, 500)).toEqual(["a"]);
    expect(letters.claim(["a"], "you", 1_000, 1_500)).toEqual(["a"]);
    expect(letters.remove(["a"], "me")).toEqual([]);
    expect(letters.remove(["a"], "you")).toEqual(["a"]);
  });

  it("are forgotten oldest first beyond the limit of their group", () => {
    const letters = new Letters();
    for (const id of ["a", "x", "b", "c"])
      expect(letters.keep(letter(id, id === "x" ? "h" : "g"), 2)).toBe(id === "c" ? 1 : 0);
    expect(ids(letters.list(undefined, undefined, 10))).toEqual(["x", "b", "c"]);
  });

  it("go with their group", () => {
    const letters = new Letters();
    for (const id of ["a", "b"]) letters.keep(letter(id, id), 10);
    expect(letters.deleteGroup("a")).toBe(1);
    expect(ids(letters.list(undefined, undefined, 10))).toEqual(["b"]);
  });

  it("that had to go are said to the group", async () => {
    const { connection } = await connectTo(memory({ maxLetters: 2 }));
    await connection.ensureStream({ name: "events", topics: [">"] }, false);
    await connection.ensureGroup(groupSpec("g"));
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, numbered(3));
    await until(() => sink.messages.length === 3, "all");
    await consumption.settle(
      sink.messages.map((message) => ({ how: "dead", message, letter: letterOf(message, "g") })),
    );
    await until(() => sink.losses.length === 1, "said");
    expect(sink.losses[0]).toEqual({ count: 1, reason: "more dead letters than maxLetters" });
    expect(ids(await connection.admin.letters("g", undefined, 10))).toEqual(["g/2", "g/3"]);
    expect(await connection.admin.letter("g/1")).toBeUndefined();
    expect(await connection.admin.claimLetters(["g/2", "g/3"], "me", 1_000)).toEqual(["g/2", "g/3"]);
    expect(await connection.admin.removeLetters(["g/2"], "me")).toEqual(["g/2"]);
    await connection.close(new AbortController().signal);
  });
});
