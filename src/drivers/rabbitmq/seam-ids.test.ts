import { expect, it } from "vitest";
import type { AmqpDelivery } from "./client.ts";
import { SeamIds } from "./seam-ids.ts";
import { Seam } from "./seam.ts";

const raw = (text: string, messageId?: string, timestamp?: number): AmqpDelivery => ({
  fields: { deliveryTag: 1, redelivered: false, exchange: "", routingKey: "0.a" },
  properties: {
    ...(messageId === undefined ? {} : { messageId }),
    ...(timestamp === undefined ? {} : { timestamp }),
    headers: {},
  },
  content: Buffer.from(text),
});

/** Offsets that are copied of what the log has, beside what came live. */
function copied(log: readonly AmqpDelivery[], live: readonly AmqpDelivery[]): readonly number[] {
  const seam = new Seam("m0", "m1");
  const [logIds, liveIds] = [new SeamIds(), new SeamIds()];
  seam.log("m0", 0, false);
  for (const [index, each] of log.entries()) seam.log(logIds.of(each), index + 1, true);
  for (const each of live) seam.live(liveIds.of(each));
  return seam.take();
}

it("what others publish without an id is copied, and not lost behind the first of them", () => {
  expect(copied([raw("a"), raw("b"), raw("c")], [raw("c")])).toEqual([1, 2]);
});

it("of equal ones as many are copied as are not live", () => {
  expect(copied([raw("a"), raw("a"), raw("a")], [raw("a")])).toHaveLength(2);
  expect(copied([raw("a", undefined, 1), raw("a", undefined, 2)], [raw("a", undefined, 2)])).toEqual([1]);
});

it("an id of its publisher's is one message, however often it was sent", () => {
  expect(copied([raw("a", "x"), raw("a", "x")], [raw("a", "x")])).toEqual([]);
});
