import assert from "node:assert/strict";
import type { Consumption, Driver, DriverConnection, OutMessage, Settlement } from "../driver.ts";
import { connect } from "../index.ts";
import type { Bus, BusOptions } from "../index.ts";
import { changed } from "./changed.ts";
import type { Lab } from "./lab.ts";
import { rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until, within } from "./until.ts";

/** What a test does to a driver's answers on their way to the bus. */
interface Faults {
  /** True: the message is sent, and its answer is lost. */
  readonly swallowAnswer?: (message: OutMessage) => boolean;
  /** True: the message is refused, and not sent. */
  readonly refuse?: (message: OutMessage) => boolean;
  /** True: not settled, and its outcome is unknown. */
  readonly failSettlement?: (settlement: Settlement) => boolean;
}

/** Faults between the bus and a working driver: what the core must make of a lost answer. */
export function faultTests({ test }: Suite): void {
  test(
    {
      name: "keeps a message whose dead letter could not be stored",
      needs: ["own driver", "groups"],
      short: { failures: 3 },
    },
    async (lab, { failures }) => {
      let left = failures;
      const bus = await faultyBus(lab, { failSettlement: ({ how }) => how === "dead" && left-- > 0 });
      const item = lab.event();
      const runs = new Runs();
      const work = ({ n }: { n: number }): void => {
        if (n === 1) throw new Error("always");
      };
      await bus.subscribe(item, runs.handler("m1", work), {
        group: lab.group(),
        retry: { maxAttempts: 2, backoff: { baseMs: 1 } },
      });
      const { id } = await bus.publish(item, { n: 1 });
      await bus.publish(item, { n: 2 });
      await until(
        async () => (await bus.deadLetters.count({ group: lab.group() })) === 1,
        "the letter, in the end",
        30_000,
      );
      const { items } = await bus.deadLetters.list({ group: lab.group() });
      assert.equal(items[0]?.event?.id, id);
      assert.ok(left < 0, "it did fail before");
      await until(async () => (await bus.groups.info(lab.group())).inFlight === 0, "all settled");
      await runs.until(1);
      assert.deepEqual(runs.numbers(), [2]);
    },
  );

  test(
    {
      name: "leaves it to the driver to try again where that does it by itself",
      needs: ["own driver"],
      lacks: "publish retry",
    },
    async (lab) => {
      const tries: string[] = [];
      const retry = { maxAttempts: 4, backoff: { baseMs: 1 } };
      const bus = await faultyBus(lab, { refuse: ({ id }) => tries.push(id) > 0 }, { publishing: { retry } });
      await assert.rejects(bus.publish(lab.event(), { n: 1 }));
      assert.equal(tries.length, 1);
    },
  );

  test(
    {
      name: "publishes again with the same id when it was refused for now, and only then resolves",
      needs: ["publish retry", "own driver", "groups", "replay"],
    },
    async (lab) => {
      const tries: string[] = [];
      const bus = await faultyBus(
        lab,
        { refuse: ({ id }) => tries.push(id) <= 2 },
        { publishing: { retry: { maxAttempts: 4, backoff: { baseMs: 1 } } } },
      );
      const item = lab.event();
      const runs = new Runs();
      const receipt = await bus.publish(item, { n: 1 });
      assert.deepEqual(tries, [receipt.id, receipt.id, receipt.id]);
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(1);
      await runs.silence(lab.quietMs);
      runs.assertOnce([1]);
    },
  );

  test(
    {
      name: "says rejected after the last try that was refused, and nothing is stored",
      needs: ["publish retry", "own driver", "groups", "replay"],
    },
    async (lab) => {
      const tries: string[] = [];
      let refusing = true;
      const bus = await faultyBus(
        lab,
        { refuse: ({ id }) => refusing && tries.push(id) > 0 },
        { publishing: { retry: { maxAttempts: 3, backoff: { baseMs: 1 } } } },
      );
      const item = lab.event();
      const runs = new Runs();
      const error = await rejection(bus.publish(item, { n: 1 }, { id: "mine" }), "BUS_CONNECTION");
      const { outcome, id, attempts } = error as unknown as { outcome: string; id: string; attempts: number };
      assert.deepEqual([outcome, id, attempts, tries.length], ["rejected", "mine", 3, 3]);
      refusing = false;
      await bus.publish(item, { n: 2 });
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(1);
      await runs.silence(lab.quietMs);
      runs.assertOnce([2]);
    },
  );

  test(
    {
      name: "says unknown of a publish whose answer was lost, and never rejected",
      needs: ["own driver", "groups", "replay"],
    },
    async (lab) => {
      const bus = await faultyBus(
        lab,
        { swallowAnswer: () => true },
        { publishing: { attemptTimeoutMs: 50, retry: { maxAttempts: 1 } } },
      );
      const item = lab.event();
      const runs = new Runs();
      const error = await rejection(bus.publish(item, { n: 1 }), "BUS_TIMEOUT");
      assert.equal((error as unknown as { outcome: string }).outcome, "unknown");
      const reader = await lab.bus();
      await reader.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(1);
      assert.equal(runs.all[0]?.event.id, (error as unknown as { id: string }).id);
    },
  );

  test(
    {
      name: "repeats rather than loses what was handled and not settled when its bus fell",
      needs: ["own driver", "groups", "recover"],
      short: { messages: 10 },
    },
    async (lab, { messages }) => {
      let deaf = true;
      const bus = await faultyBus(lab, {}, {}, () => deaf);
      const other = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler("first"), { group: lab.group() });
      await Promise.all(upTo(messages).map((n) => other.publish(item, { n })));
      await runs.until(messages);
      await within(bus.close({ timeoutMs: 500 }), "close");
      deaf = false;
      await other.subscribe(item, runs.handler("second"), { group: lab.group() });
      await until(
        async () => {
          await other.groups.recover(lab.group(), { idleMs: 0 });
          return runs.done === messages * 2;
        },
        () => `each once more; ${runs.handled.length} runs of ${messages}`,
      );
      await runs.silence(lab.quietMs);
      for (const n of upTo(messages)) assert.equal(runs.attempts(n).length, 2);
    },
  );
}

/** A bus whose driver answers through the faults; `loseAcks`: acknowledgements go nowhere. */
async function faultyBus(
  lab: Lab,
  faults: Faults,
  options: BusOptions = {},
  loseAcks: () => boolean = () => false,
): Promise<Bus> {
  const config = lab.config(options);
  if (!("driver" in config)) throw new Error("no driver of its own");
  return lab.adopt(await connect({ ...config, driver: between(config.driver, faults, loseAcks) }));
}

function between(driver: Driver, faults: Faults, loseAcks: () => boolean): Driver {
  return changed(driver, {
    classify: (error) => (error === refused ? { code: "BUS_CONNECTION", retryable: true } : driver.classify(error)),
    connect: async (context) => {
      const connection = await driver.connect(context);
      return changed<DriverConnection>(connection, {
        send: (batch) => {
          const sent = batch.filter((message) => !(isEvent(message) && faults.refuse?.(message)));
          for (const message of batch) if (!sent.includes(message)) message.failed("no", refused);
          const deaf = (message: OutMessage): boolean => isEvent(message) && faults.swallowAnswer?.(message) === true;
          connection.send(
            sent.map((message) =>
              deaf(message) ? changed(message, { stored: () => undefined, failed: () => undefined }) : message,
            ),
          );
        },
        consume: async (source, sink, window) => {
          const consumption = await connection.consume(source, sink, window);
          return changed<Consumption>(consumption, {
            ack: (messages) => (loseAcks() ? undefined : consumption.ack(messages)),
            settle: async (batch) => {
              const good = batch.filter((settlement) => faults.failSettlement?.(settlement) !== true);
              const results = good.length > 0 ? await consumption.settle(good) : [];
              return batch.map((settlement) =>
                good.includes(settlement) ? (results[good.indexOf(settlement)] ?? "unknown") : "unknown",
              );
            },
          });
        },
      });
    },
  });
}

const refused = new Error("refused for now");
const isEvent = ({ to }: OutMessage): boolean => to.kind === "topic";
