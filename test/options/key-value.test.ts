import { expect, it, onTestFinished } from "vitest";
import { type Bus, connect } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";

async function opened(): Promise<Bus> {
  const bus = await connect("memory:");
  onTestFinished(() => bus.close().then(() => undefined));
  return bus;
}

it("option: KeyValueOptions.maxAgeMs is how long an entry is there", async () => {
  const bus = await opened();
  await bus.kv<number>("b").put("stays", 1);
  const kv = bus.kv<number>("b", { maxAgeMs: 100 });
  const from = performance.now();
  await kv.put("goes", 1);
  await until(async () => (await kv.get("goes")) === undefined, "its end");
  expect(performance.now() - from).toBeGreaterThan(90);
  expect((await kv.get("stays"))?.value).toBe(1);
});

it("option: KeyValueOptions.encoding is JSON unless it is bytes", async () => {
  const bus = await opened();
  await bus.kv("b").put("k", { n: 1 });
  const bytes = bus.kv<Uint8Array>("b", { encoding: "bytes" });
  expect(Buffer.from((await bytes.get("k"))!.value).toString()).toBe('{"n":1}');
  await bytes.put("raw", Uint8Array.of(0, 255));
  expect([...(await bytes.get("raw"))!.value]).toEqual([0, 255]);
  await expect(bytes.put("k", "text" as never)).rejects.toMatchObject({ code: "BUS_INVALID_OPTION" });
});
