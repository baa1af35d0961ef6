import { describe, expect, it } from "vitest";
import { connect, defineRequest, typed, type BusEvent } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { failureOf, gate, onMemory } from "../support/events.ts";

const Double = defineRequest("double", { request: typed<number>(), response: typed<number>() });

describe("the options of a request", () => {
  it("option: RequestOptions.timeoutMs is how long it waits for the answer", async () => {
    await using bus = await onMemory();
    const open = gate();
    await bus.respond(Double, async (n) => (await open.opened, n * 2));
    const from = performance.now();
    expect(await failureOf(bus.request(Double, 1, { timeoutMs: 80 }))).toMatchObject({
      code: "BUS_TIMEOUT",
      message: expect.stringContaining("80 ms") as string,
    });
    expect(performance.now() - from).toBeLessThan(2_000);
    open.open();
  });

  it("option: RequestOptions.key, RequestOptions.correlationId, RequestOptions.metadata are the request's", async () => {
    await using bus = await onMemory();
    let request: BusEvent | undefined;
    await bus.respond(Double, (n, context) => ((request = context.request), n * 2));
    expect(await bus.request(Double, 4, { key: "k", correlationId: "chain", metadata: { tenant: 4 } })).toBe(8);
    expect(request).toMatchObject({ key: "k", correlationId: "chain", metadata: { tenant: 4 } });
  });

  it("option: RequestOptions.signal ends the wait", async () => {
    await using bus = await onMemory();
    const [asked, open] = [gate(), gate()];
    await bus.respond(Double, async (n) => (asked.open(), await open.opened, n));
    const stop = new AbortController();
    const answer = failureOf(bus.request(Double, 1, { signal: stop.signal, timeoutMs: 30_000 }));
    await asked.opened;
    stop.abort();
    expect(await within(answer, "the end", 2_000)).toMatchObject({ code: "BUS_ABORTED" });
    open.open();
  });
});

describe("the options of a responder", () => {
  it("option: RespondOptions.group shares the requests; false answers whatever the others do", async () => {
    const driver = memory();
    await using one = await connect({ driver });
    await using two = await connect({ driver, group: "default" });
    const asked = { left: 0, right: 0, alone: 0 };
    const first = await one.respond(Double, (n) => ((asked.left += 1), n), { group: "workers" });
    const second = await two.respond(Double, (n) => ((asked.right += 1), n), { group: "workers" });
    for (let n = 0; n < 10; n += 1) await one.request(Double, n);
    expect(asked.left + asked.right).toBe(10);
    const alone = await one.respond(Double, (n) => ((asked.alone += 1), n), { group: false });
    for (let n = 0; n < 10; n += 1) await one.request(Double, n);
    await until(() => asked.alone === 10 && asked.left + asked.right === 20, "a copy each");
    const byDefault = [await one.respond(Double, (n) => n), await two.respond(Double, (n) => n)];
    expect([first, second, alone, ...byDefault].map(({ group }) => group)).toEqual([
      "workers",
      "workers",
      undefined,
      "responders",
      "default",
    ]);
  });

  it("option: RespondOptions.concurrency answers no more at once", async () => {
    await using bus = await onMemory();
    const open = gate();
    let running = 0;
    await bus.respond(
      Double,
      async (n) => {
        running += 1;
        await open.opened;
        return n;
      },
      { concurrency: 2 },
    );
    const answers = Promise.all([1, 2, 3, 4].map((n) => bus.request(Double, n)));
    await until(() => running === 2, "as many as may");
    await silence(() => running, "running above the bound", 20);
    open.open();
    expect(await answers).toEqual([1, 2, 3, 4]);
  });
});
