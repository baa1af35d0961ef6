import { expect, it } from "vitest";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { ResumePoints } from "./resume-points.ts";

const createdAt = 50;

it("a group that is lost again, before it has all that it was to have again, goes on from the earlier place", () => {
  const clock = new ManualClock();
  const points = new ResumePoints(clock);
  const first = { id: "1", createdAt, since: 100, settled: new Set(["a"]), isGone: true };
  points.lost("g", first);
  expect(points.get("g", createdAt)).toEqual(first);
  points.resumed("g");
  expect(points.get("g", createdAt)).toBeUndefined();
  clock.advance(2_000);
  points.lost("g", { id: "2", createdAt, since: 5_000, settled: new Set(["b"]), isGone: false });
  expect(points.get("g", createdAt)).toEqual({
    id: "2",
    createdAt,
    since: 100,
    settled: new Set(["a", "b"]),
    isGone: false,
  });
  clock.advance(40_000);
  const last = { id: "3", createdAt, since: 9_000, settled: new Set<string>(), isGone: true };
  points.lost("g", last);
  expect(points.get("g", createdAt)).toEqual(last);
});

it("what is known of a group says nothing of a later one of its name, nor to who comes a minute later", () => {
  const clock = new ManualClock();
  const points = new ResumePoints(clock);
  points.lost("g", { id: "1", createdAt, since: 100, settled: new Set(["a"]), isGone: true });
  expect(points.get("g", createdAt + 1)).toBeUndefined();
  points.lost("g", { id: "2", createdAt: createdAt + 1, since: 200, settled: new Set(["b"]), isGone: true });
  expect(points.get("g", createdAt + 1)?.settled).toEqual(new Set(["b"]));
  clock.advance(61_000);
  expect(points.get("g", createdAt + 1)).toBeUndefined();
});
