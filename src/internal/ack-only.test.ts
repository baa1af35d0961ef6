import { describe, expect, it } from "vitest";
import { AckOnly } from "./ack-only.ts";

class Listener extends AckOnly {}

describe("what can only be acknowledged", () => {
  it.each([
    ["direct", "a direct message can only be acknowledged", "a direct message has no notes"],
    ["tail", "a tail's messages can only be acknowledged", "a tail's messages have no notes"],
  ] as const)("of the kind %s refuses everything else in its words", async (of, settled, noted) => {
    const listener = new Listener("carrier", of);
    await expect(listener.settle()).rejects.toMatchObject({ code: "BUS_UNSUPPORTED", message: `carrier: ${settled}` });
    await expect(listener.record()).rejects.toMatchObject({ code: "BUS_UNSUPPORTED", message: `carrier: ${noted}` });
    await expect(listener.flush()).resolves.toBeUndefined();
  });
});
