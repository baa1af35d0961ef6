import { expect, it } from "vitest";
import { encodePart, Names } from "./names.ts";

it("gives no two texts the same part, and none that would split a name or be a wildcard", () => {
  const texts = ["", "=", "a", "a.b", "a=2Eb", "a*", "#", "größe", "gr\u00f6\u00dfe\u0301", "A", "a b", "\u{1f600}"];
  const parts = texts.map((text) => encodePart(text));
  expect(new Set(parts).size).toBe(texts.length);
  for (const part of parts) expect(part).toMatch(/^[\w=-]+$/);
});

it("gives no two things the same name", () => {
  const names = new Names("omnibus");
  const all = ["a", "0", "a.0"].flatMap((group) => [
    names.stream(group),
    names.queue(group),
    names.queue(group, 0),
    names.dropped(group),
    names.notes(group),
    names.inbox(group),
    ...["a", "0"].flatMap((stream) => [
      names.group(group, stream),
      names.group(group, stream, 0),
      names.history(group, "a1", stream, 0),
      names.seam(group, "a1", stream),
    ]),
  ]);
  expect(new Set([...all, names.delay(0), names.delay(10)]).size).toBe(all.length + 2);
  expect(names.group("shipping", "events", 3)).toBe("omnibus.g.shipping.events.3");
  expect(new Names("a.b").stream("events")).toBe("a=2Eb.s.events");
  expect(names.marker("a.b")).not.toContain(".");
});
