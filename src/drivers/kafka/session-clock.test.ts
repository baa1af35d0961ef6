import { expect, it } from "vitest";
import { SessionClock } from "./session-clock.ts";

it("counts from when it was sent what was answered, whenever that came, and never goes back", () => {
  const session = new SessionClock(6_000, 0);
  session.answered(1_000);
  session.answered(400);
  expect([session.endsAt, session.isOver(6_999), session.isOver(7_000)]).toEqual([7_000, false, true]);
  expect([session.mayBegin(3_999), session.mayBegin(4_000)]).toEqual([true, false]);
});
