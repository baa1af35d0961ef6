import { describe, expect, it } from "vitest";
import type { GroupDefinition, GroupLane } from "./definition-fold.ts";
import { DefinitionFold } from "./definition-fold.ts";
import { isLater, isPastHandled, startAgain } from "./making-again.ts";

const lane = (from: GroupLane["from"]): GroupLane => ({ partitions: 2, ready: true, from, m0: "", patterns: [">"] });
const definition = (id: string, order: "group" | "none", lanes: GroupDefinition["lanes"]): GroupDefinition => ({
  spec: { group: "g", order, live: false, from: { at: "oldest" }, reads: [] },
  id,
  createdAt: 50,
  lanes,
});

describe("a group that was lost begins", () => {
  it("where its members were, when its past is handled", () => {
    expect(startAgain(lane({ at: "oldest" }), 100, true)).toEqual({ time: 100 });
    expect(startAgain(lane(undefined), 100, true)).toEqual({ time: 100 });
  });

  it("before that with a past that nobody has handled, stream by stream", () => {
    expect(startAgain(lane({ at: "oldest" }), 100, false)).toEqual({ at: "oldest" });
    expect(startAgain(lane({ time: 30 }), 100, false)).toEqual({ time: 30 });
    expect(startAgain(lane({ time: 300 }), 100, false)).toEqual({ time: 100 });
  });
});

it("the past of an ordered group is handled when each partition's is, that of another one when it is copied", () => {
  const fold = new DefinitionFold();
  const lanes = { events: lane({ at: "oldest" }) };
  const [ordered, loose] = [definition("a", "group", lanes), definition("b", "none", lanes)];
  for (const [n, def] of [
    ["a", ordered],
    ["b", loose],
  ] as const)
    fold.take({ t: "g", n, rev: 0, by: n, def });
  const handled = (of: GroupDefinition): boolean => isPastHandled(fold, of, "events", lane({ at: "oldest" }));
  expect([handled(ordered), handled(loose)]).toEqual([false, false]);
  for (const id of ["a", "b"])
    fold.take({ t: "r", n: id, id, stream: "events", replay: { offset: 1, copied: true, history: [0, 1] } });
  expect([handled(ordered), handled(loose)]).toEqual([false, true]);
  fold.take({ t: "k", n: "a", id: "a", stream: "events", p: 0 });
  expect(handled(ordered)).toBe(false);
  fold.take({ t: "k", n: "a", id: "a", stream: "events", p: 1 });
  expect(handled(ordered)).toBe(true);
  expect(isPastHandled(fold, definition("c", "group", {}), "events", lane(undefined))).toBe(true);
});

it("a making that began later than a member was is not what that one takes", () => {
  const of = (from: GroupLane["from"]): GroupDefinition => definition("a", "group", { events: lane(from) });
  expect([isLater(of({ time: 101 }), 100), isLater(of({ time: 100 }), 100)]).toEqual([true, false]);
  expect([isLater(of({ at: "oldest" }), 100), isLater(of(undefined), 100)]).toEqual([false, true]);
  expect(isLater({ ...of(undefined), spec: { ...of(undefined).spec, live: true } }, 100)).toBe(false);
});

it("what was known of a lane goes with it, and stays when the group grows", () => {
  const fold = new DefinitionFold();
  const put = (def: GroupDefinition): void => {
    fold.take({ t: "g", n: "g", rev: fold.group("g").rev, by: `${fold.group("g").rev}`, def });
  };
  put(definition("a", "group", { events: lane({ at: "oldest" }) }));
  fold.take({ t: "k", n: "g", id: "a", stream: "events", p: 0 });
  put(definition("a", "group", { events: lane({ at: "oldest" }), more: lane({ at: "oldest" }) }));
  expect(fold.isCaughtUp("a", "events", 0)).toBe(true);
  put(definition("a", "group", { more: lane({ at: "oldest" }) }));
  expect(fold.isCaughtUp("a", "events", 0)).toBe(false);
});
