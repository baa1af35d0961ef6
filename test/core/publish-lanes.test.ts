import { describe, expect, it } from "vitest";
import { connect, defineEvent, type Bus, type typed } from "../../src/index.ts";
import type { OutMessage } from "../../src/driver.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { Fault, FaultyDriver } from "../support/faulty-driver.ts";
import { failureOf, Keyed, onFaulty, onMemory, Seen, stillWorks, Tick } from "../support/events.ts";
import { tapped } from "../support/tapped-driver.ts";

const keyed = (bus: Bus, n: number): Promise<unknown> => bus.publish(Keyed, { of: "k", n }, { id: String(n) });

describe("publishes of one key", () => {
  it("wait for the retry ahead, also when one of those behind it is answered late", async () => {
    const { bus, driver } = await onFaulty({
      publishing: { attemptTimeoutMs: 40, retry: { maxAttempts: 4, backoff: () => 2_000 } },
    });
    await using _ = bus;
    driver.sendFault = ({ id }) => (id === "1" ? "silent" : "late");
    const [first, second] = [keyed(bus, 1), keyed(bus, 2)];
    await until(() => driver.sent.length === 2, "the first tries");
    await silence(() => driver.sent.length, "before their time-outs", 120);
    const third = keyed(bus, 3);
    expect(driver.answerLate()).toBe(1);
    await within(second, "the late answer", 1_000);
    await silence(() => driver.sent.length, "sent ahead of the retry", 100);
    driver.sendFault = () => undefined;
    await within(Promise.all([first, third]), "the others", 8_000);
    expect(driver.sent.map(({ id }) => id)).toEqual(["1", "2", "1", "3"]);
  });

  it("are tried again in the order of their calls, though they failed in the reverse", async () => {
    const tries: string[][] = [];
    const driver = tapped(
      {
        connection: (connection) => ({
          send: (batch: readonly OutMessage[]) => {
            tries.push(batch.map(({ id }) => id));
            if (tries.length > 1) return connection.send(batch);
            for (const message of batch.toReversed()) message.failed("no", new Fault("busy"));
          },
        }),
      },
      new FaultyDriver(),
    );
    await using bus = await connect({ driver, publishing: { retry: { maxAttempts: 4, backoff: () => 30 } } });
    await Promise.all([1, 2, 3].map((n) => keyed(bus, n)));
    expect(tries.flat()).toEqual(["1", "2", "3", "1", "2", "3"]);
    const seen = new Seen();
    await bus.subscribe(Keyed, seen.handle, { group: "g" });
    await until(() => seen.count === 3, "all three");
    expect(seen.numbers).toEqual([1, 2, 3]);
  });
});

describe("publishes of one key behind one that has used up its tries", () => {
  const publishing = { retry: { maxAttempts: 2, backoff: () => 20 } };

  for (const publishOrder of ["prefix", "best-effort"] as const) {
    it(`${publishOrder === "prefix" ? "fail with it, and later ones don't" : "are stored"} (${publishOrder})`, async () => {
      const { bus, driver } = await onFaulty({ publishing }, new FaultyDriver(undefined, { publishOrder }));
      await using _ = bus;
      driver.sendFault = ({ id }) => (id === "1" || driver.sent.length <= 3 ? "no" : undefined);
      const results = await Promise.allSettled([1, 2, 3].map((n) => keyed(bus, n)));
      const stored = publishOrder === "prefix" ? "rejected" : "fulfilled";
      expect(results.map(({ status }) => status)).toEqual(["rejected", stored, stored]);
      if (publishOrder === "prefix")
        for (const result of results) expect(result).toMatchObject({ reason: { outcome: "rejected" } });
      await keyed(bus, 4);
      const seen = new Seen();
      await bus.subscribe(Keyed, seen.handle, { group: "g" });
      const wanted = publishOrder === "prefix" ? [4] : [2, 3, 4];
      await until(() => seen.count === wanted.length, "what was stored");
      expect(seen.numbers).toEqual(wanted);
    });
  }
});

type Validated = { readonly value: unknown } | { readonly issues: readonly { readonly message: string }[] };
const validatedBy = (name: string, validate: (value: unknown) => Validated | Promise<Validated>) =>
  defineEvent(name, {
    schema: { "~standard": { version: 1, vendor: "test", validate } } as ReturnType<typeof typed<object>>,
  });

describe("a schema that never answers", () => {
  const Hung = validatedBy("hung", () => new Promise(() => undefined));

  it("does not keep others from timing out, being aborted, or being published when it was given up", async () => {
    await using bus = await onMemory();
    const hung = failureOf(bus.publish(Hung, {}, { timeoutMs: 200 }));
    const timed = failureOf(bus.publish(Tick, { n: 1 }, { timeoutMs: 30 }));
    const stop = new AbortController();
    const aborted = failureOf(bus.publish(Tick, { n: 2 }, { signal: stop.signal }));
    const behind = bus.publish(Tick, { n: 3 });
    stop.abort();
    expect(await within(aborted, "the abort", 100)).toMatchObject({ code: "BUS_ABORTED", outcome: "rejected" });
    expect(await within(timed, "the time-out", 150)).toMatchObject({ code: "BUS_TIMEOUT", outcome: "rejected" });
    expect(await within(hung, "its own time-out", 1_000)).toMatchObject({ code: "BUS_TIMEOUT", outcome: "rejected" });
    await within(behind, "the one behind it", 1_000);
    expect((await bus.streams.info("events")).messages).toBe(1);
    await stillWorks(bus);
  });

  it("does not keep the bus from closing: it and those behind it are told", async () => {
    const bus = await onMemory();
    const failures = [failureOf(bus.publish(Hung, {})), failureOf(bus.publish(Tick, { n: 1 }))];
    await within(bus.close({ timeoutMs: 30 }), "the end", 3_000);
    for (const failure of failures)
      expect(await within(failure, "being told", 500)).toMatchObject({ code: "BUS_CLOSED", outcome: "rejected" });
  });
});

describe("data that can't be copied, beside a schema that takes its time", () => {
  it("is one failure of the publish, and no unhandled rejection", async () => {
    const unhandled: unknown[] = [];
    const hear = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", hear);
    try {
      await using bus = await onMemory();
      const Refused = validatedBy("refused", async () => ({ issues: [{ message: "bad" }] }));
      const failure = await failureOf(bus.publish(Refused, { run: () => 1 }));
      expect(failure.code).toMatch(/^BUS_INVALID_DATA$/);
      await silence(() => unhandled.length, "unhandled rejections", 30);
      expect(unhandled).toEqual([]);
      await stillWorks(bus);
    } finally {
      process.off("unhandledRejection", hear);
    }
  });
});
