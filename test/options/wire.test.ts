import { describe, expect, it } from "vitest";
import type { ForeignFormat, WireOptions } from "../../src/index.ts";
import type { OutMessage } from "../../src/driver.ts";
import { until } from "../../src/testing/until.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { connect } from "../../src/index.ts";
import { connectTo, publish } from "../support/driver-harness.ts";
import { fresh, onFaulty, Seen } from "../support/events.ts";

const headerOf = (message: OutMessage, name: string): string | undefined =>
  message.headers.find(([each]) => each === name)?.[1];
const bodyOf = (message: OutMessage): string => new TextDecoder().decode(message.body);

/** What goes over the wire for one publish. */
async function written(wire: WireOptions | undefined, data: unknown, topic = "some.topic"): Promise<OutMessage> {
  const { bus, driver } = await onFaulty({ wire });
  await using _ = bus;
  await bus.publishTopic(topic, data);
  return driver.sent[0]!;
}

const upper: ForeignFormat = {
  name: "upper",
  decode: (body) => ({ data: new TextDecoder().decode(body).toLowerCase(), type: "foreign" }),
  encode: (event) => ({ body: new TextEncoder().encode(String(event.data).toUpperCase()) }),
};

describe("the wire options", () => {
  it("option: WireOptions.mode is the CloudEvents content mode", async () => {
    expect(JSON.parse(bodyOf(await written(undefined, 7)))).toMatchObject({ specversion: "1.0", data: 7 });
    expect(JSON.parse(bodyOf(await written({ mode: "structured" }, 7)))).toMatchObject({ specversion: "1.0", data: 7 });
    const binary = await written({ mode: "binary" }, 7);
    expect(bodyOf(binary)).toBe("7");
    expect(binary.headers.some(([name, value]) => name.endsWith("specversion") && value === "1.0")).toBe(true);
  });

  it("option: WireOptions.compression, CompressionOptions.encoding compress the body as they say", async () => {
    const data = "x".repeat(5_000);
    expect(headerOf(await written(undefined, data), "content-encoding")).toBeUndefined();
    for (const encoding of ["gzip", "br", "zstd"] as const) {
      const message = await written({ compression: { encoding } }, data);
      expect(headerOf(message, "content-encoding")).toBe(encoding);
      expect(message.body.byteLength).toBeLessThan(1_000);
    }
  });

  it("option: CompressionOptions.thresholdBytes leaves smaller bodies plain", async () => {
    const encoding = async (thresholdBytes: number | undefined, length: number): Promise<string | undefined> =>
      headerOf(
        await written({ compression: { encoding: "gzip", thresholdBytes } }, "x".repeat(length)),
        "content-encoding",
      );
    expect(await encoding(10_000, 5_000)).toBeUndefined();
    expect(await encoding(100, 500)).toBe("gzip");
    expect([await encoding(undefined, 300), await encoding(undefined, 2_000)]).toEqual([undefined, "gzip"]);
  });

  it("option: WireOptions.foreign, ForeignOptions.format, ForeignOptions.topics read another system's messages on these topics, and no others", async () => {
    const name = fresh("store");
    await using bus = await connect({
      driver: memory({ name }),
      wire: { foreign: [{ topics: "legacy.*", format: upper }] },
    });
    const seen = new Seen();
    await bus.subscribePattern(">", seen.handle, { group: "g" });
    const { connection } = await connectTo(memory({ name }));
    publish(connection, ["HELLO"], { topic: "legacy.greeting" });
    publish(connection, ["HELLO"], { topic: "modern.greeting" });
    await until(async () => seen.count === 1 && (await bus.deadLetters.count()) === 1, "one read, one refused");
    expect(seen.events[0]).toMatchObject({ type: "foreign", data: "hello", topic: "legacy.greeting" });
    expect((await bus.deadLetters.list()).items[0]!.reason.code).toBe("BUS_UNDECODABLE");
  });

  it("option: ForeignOptions.write writes the format too, on its topics only", async () => {
    const foreign = (write: boolean | undefined): WireOptions => ({
      foreign: [{ topics: "legacy.*", format: upper, write }],
    });
    expect(bodyOf(await written(foreign(true), "hello", "legacy.greeting"))).toBe("HELLO");
    expect(bodyOf(await written(foreign(true), "hello", "modern.greeting"))).toContain('"specversion"');
    expect(bodyOf(await written(foreign(undefined), "hello", "legacy.greeting"))).toContain('"specversion"');
  });
});
