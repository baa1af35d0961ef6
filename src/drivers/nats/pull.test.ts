import { expect, it } from "vitest";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { ClientMessage, NatsMessageHeaders } from "./client.ts";
import { Pull, type PullListener } from "./pull.ts";
import type { Session } from "./session.ts";

const deleted: NatsMessageHeaders = Object.assign([], { code: 409, description: "Consumer Deleted" });

/** A pull whose session does nothing but take down what is written. */
function opened(listener: Partial<PullListener>): {
  readonly pull: Pull;
  readonly clock: ManualClock;
  readonly take: (message: ClientMessage) => void;
} {
  let take!: (message: ClientMessage) => void;
  const clock = new ManualClock();
  const session = {
    options: { leaseMs: 30_000, heartbeatMs: 5_000 },
    clock,
    connected: true,
    newInbox: () => "inbox",
    subscribe: (_: string, callback: typeof take) => {
      take = callback;
      return { unsubscribe: () => undefined, drain: () => Promise.resolve() };
    },
    publish: () => true,
  };
  const nothing = (): void => undefined;
  const all: PullListener = { messages: nothing, room: nothing, gone: nothing, look: nothing, ...listener };
  const pull = new Pull(session as unknown as Session, "stream", "consumer", all);
  return { pull, clock, take: (message) => take(message) };
}

it("counts what came and was not given on yet as outstanding, until it is", async () => {
  const given: number[] = [];
  const { pull, take } = opened({ messages: (messages) => given.push(messages.length, pull.outstanding) });
  pull.want(6, 1_000_000, false);
  for (let n = 1; n <= 4; n += 1) take({ subject: "s", reply: `r${n}`, data: new Uint8Array(10) });
  // another consumer's answer of the same turn asks how much may still come
  expect(pull.outstanding).toBe(6);
  await Promise.resolve();
  expect(given).toEqual([4, 2]);
  pull.close();
});

it("is idle when its consumer is deleted only if a request was open for a while: a new one may be read and not served", () => {
  for (const [ms, idle] of [
    [1, false],
    [500, true],
  ] as const) {
    const gone: boolean[] = [];
    const { pull, clock, take } = opened({ gone: (wasIdle) => gone.push(wasIdle) });
    pull.want(6, 1_000_000, false);
    clock.advance(ms);
    take({ subject: "inbox.0", data: new Uint8Array(0), headers: deleted });
    expect(gone).toEqual([idle]);
    pull.close();
  }
});
