import { expect, it } from "vitest";
import { isAnswerable } from "./direct-message.ts";

it("answers at inboxes, and never at the server's API or into our own streams", () => {
  for (const reply of ["_INBOX.x.1", "bus.i.abc.1", "bust.s.x", "replies.me"])
    expect(isAnswerable(reply, "bus")).toBe(true);
  for (const reply of [
    "",
    "$JS.API.STREAM.PURGE.x",
    "$KV.bus.g",
    "bus.s.events.0.a",
    "bus.q.g.a",
    "bus.r.a",
    "a.*",
    "a.>",
    "a b",
  ])
    expect(isAnswerable(reply, "bus")).toBe(false);
});
