import { expect, it } from "vitest";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { ClientMessage } from "./client.ts";
import { Pull } from "./pull.ts";
import type { Session } from "./session.ts";

it("counts what came and was not given on yet as outstanding, until it is", async () => {
  let take!: (message: ClientMessage) => void;
  const session = {
    options: { leaseMs: 30_000, heartbeatMs: 5_000 },
    clock: new ManualClock(),
    connected: true,
    newInbox: () => "inbox",
    subscribe: (_: string, callback: typeof take) => {
      take = callback;
      return { unsubscribe: () => undefined, drain: () => Promise.resolve() };
    },
    publish: () => true,
  };
  const given: number[] = [];
  const pull = new Pull(session as unknown as Session, "stream", "consumer", {
    messages: (messages) => given.push(messages.length, pull.outstanding),
    room: () => undefined,
    gone: () => undefined,
    look: () => undefined,
  });
  pull.want(6, 1_000_000, false);
  for (let n = 1; n <= 4; n += 1) take({ subject: "s", reply: `r${n}`, data: new Uint8Array(10) });
  // another consumer's answer of the same turn asks how much may still come
  expect(pull.outstanding).toBe(6);
  await Promise.resolve();
  expect(given).toEqual([4, 2]);
  pull.close();
});
