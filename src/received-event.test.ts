import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { envelope, fullEnvelope } from "../test/support/envelopes.ts";
import { ReceivedEvent } from "./received-event.ts";

const data = { card: "4111-secret" };
const full = new ReceivedEvent(fullEnvelope, data);

describe("ReceivedEvent", () => {
  it("shows the envelope's attributes, and data that may differ from the envelope's", () => {
    expect(full).toMatchObject({
      id: fullEnvelope.id,
      type: "orders.placed",
      version: 3,
      topic: "orders.eu.placed",
      source: "shop",
      time: new Date("2026-01-05T12:30:15.250Z"),
      key: "o-1",
      session: "s-9",
      correlationId: fullEnvelope.correlationId,
      causationId: fullEnvelope.causationId,
      priority: "high",
      metadata: { tenant: 4, path: ["ä", 'b"c'] },
      data,
    });
    expect(full.data).toBe(data);
  });

  it("begins a chain of its own, and has metadata, when the envelope says nothing", () => {
    const plain = new ReceivedEvent(envelope(), data);
    expect([plain.correlationId, plain.causationId, plain.metadata]).toEqual([plain.id, undefined, {}]);
    expect(Object.isFrozen(plain.metadata)).toBe(true);
    expect(plain.time).toBe(plain.time);
  });

  it("is printed short and without the data", () => {
    const short = "orders.placed v3 0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b (orders.eu.placed)";
    expect(`${full.toString()}`).toBe(short);
    expect(inspect(full)).toBe(`BusEvent { ${short} }`);
    expect(inspect({ deep: [full] }, { depth: 10 })).not.toContain("secret");
  });

  it("becomes JSON with all of it", () => {
    expect(JSON.parse(JSON.stringify(full))).toEqual({
      id: fullEnvelope.id,
      type: "orders.placed",
      version: 3,
      topic: "orders.eu.placed",
      source: "shop",
      time: "2026-01-05T12:30:15.250Z",
      key: "o-1",
      session: "s-9",
      correlationId: fullEnvelope.correlationId,
      causationId: fullEnvelope.causationId,
      priority: "high",
      metadata: { tenant: 4, path: ["ä", 'b"c'] },
      data,
    });
  });
});
