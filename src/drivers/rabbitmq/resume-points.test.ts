import { expect, it } from "vitest";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { ResumePoints } from "./resume-points.ts";

it("a group that is lost again, before it has all that it was to have again, goes on from the earlier place", () => {
  const clock = new ManualClock();
  const points = new ResumePoints(clock);
  points.lost("g", { id: "1", since: 100, settled: new Set(["a"]) });
  expect(points.take("g")).toMatchObject({ id: "1", since: 100, settled: new Set(["a"]) });
  expect(points.take("g")).toBeUndefined();
  clock.advance(2_000);
  points.lost("g", { id: "2", since: 5_000, settled: new Set(["b"]) });
  expect(points.take("g")).toMatchObject({ id: "2", since: 100, settled: new Set(["a", "b"]) });
  clock.advance(40_000);
  points.lost("g", { id: "3", since: 9_000, settled: new Set() });
  expect(points.take("g")).toMatchObject({ id: "3", since: 9_000, settled: new Set() });
});
