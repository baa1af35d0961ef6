import assert from "node:assert/strict";
import { type Bus, isBusError, type PublishError } from "../../index.ts";
import type { ItemEvent } from "../lab.ts";
import { upTo } from "../runs.ts";
import { until, within } from "../until.ts";
import { againMs, assertNone, assertRecovered, assertSaid, drained, recovered, storedIds } from "./aftermath.ts";
import { assertDown } from "./broker-faults.ts";
import { judge } from "./judgement.ts";
import { ticks } from "./journal.ts";
import { Load } from "./load.ts";
import type { RecoveryLab } from "./recovery-lab.ts";
import type { RecoverySuite } from "./recovery-topics.ts";

const once = { publishing: { attemptTimeoutMs: 5_000, retry: { maxAttempts: 1 } } } as const;

/** Publishes all at once and notes each outcome. */
async function publishBatch(lab: RecoveryLab, bus: Bus, item: ItemEvent, messages: number): Promise<readonly Error[]> {
  const records = upTo(messages).map((n) => ({
    id: `${lab.topic("batch")}-${n}`,
    key: `k${n}`,
    sequence: 0,
    hash: `${n} `.repeat(50),
  }));
  for (const record of records) lab.journal.note("publish-started", "batch", record);
  const outcomes = await within(
    bus.publishMany(records.map(({ id, key, hash }) => item.of({ n: 0, text: hash }, { id, key }))),
    "an outcome of each",
    20_000,
  );
  const errors: Error[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    if (!outcome.ok) errors.push(outcome.error);
    const failed = !outcome.ok && isBusError(outcome.error) ? (outcome.error as PublishError).outcome : undefined;
    const op = outcome.ok ? "published" : failed === "rejected" ? "publish-failed" : "publish-unknown";
    lab.journal.note(op, "batch", records[index]!);
  }
  return errors;
}

export function lineFaults({ test }: RecoverySuite): void {
  const needs = ["broker", "durable", "groups", "replay"] as const;

  for (const [name, tries] of [
    ["reset in the middle of a batch of publishes: each ends as it should", 1],
    ["reset in the middle of a batch of publishes: each is tried again and stored once", 8],
  ] as const)
    // a driver that tries again by itself leaves none whose end is not known
    test(
      {
        name,
        needs: tries === 1 ? [...needs, "publish retry"] : needs,
        short: { messages: 400 },
        full: { messages: 5_000 },
      },
      async (lab, { messages }) => {
        const { proxy, url } = await lab.proxy();
        const retry = { maxAttempts: tries, backoff: { baseMs: 100, maxMs: 1_000, jitter: 0 } };
        const bus = await lab.bus({ publishing: { attemptTimeoutMs: 5_000, retry } }, url);
        const direct = await lab.bus();
        const item = lab.event();
        await bus.publish(lab.event("first"), { n: 0 });
        const from = ticks();
        const cut = proxy.requests.resetAfter(messages * 100); // about a third of it
        const errors = await publishBatch(lab, bus, item, messages);
        assert.equal(await within(cut, "the reset"), true);
        const fault = { from, until: ticks() };
        const stored = await storedIds(lab, direct, { item });
        await bus.flush();
        const { history } = lab.journal;
        const dupes = {
          history,
          capabilities: lab.driver.capabilities,
          groups: [],
          stored,
          faults: [fault],
          repeatsMs: 0,
        };
        assertNone(judge(dupes));
        if (tries === 1)
          assert.ok(
            errors.some((error) => (error as PublishError).outcome === "unknown"),
            "invalid: it hit none that was under way",
          );
        else {
          assert.deepEqual(
            errors.map((error) => error.message),
            [],
          );
          assert.equal(new Set(stored).size, messages);
        }
        assertSaid(lab, [bus], "disconnected");
      },
    );

  test(
    {
      name: "reset in the middle of a batch of deliveries",
      needs,
      short: { messages: 300, resets: 2 },
      full: { messages: 5_000, resets: 10 },
    },
    async (lab, { messages, resets }) => {
      const { proxy, url } = await lab.proxy();
      const [consumer, publisher] = [await lab.bus({}, url), await lab.bus()];
      const item = lab.event();
      const group = lab.group("g");
      const handler = lab.journal.handler("m1", () => new Promise((resolve) => setTimeout(resolve, 2)));
      await consumer.subscribe(item, handler, { group, order: "none" });
      const faults: { from: number; until: number }[] = [];
      let resetting = proxy.replies.resetAfter(20_000);
      for (const reset of upTo(resets)) {
        const from = ticks();
        const share = Math.ceil(messages / resets);
        const batch = upTo(share).map(async (n) => {
          const record = { id: `${lab.topic("d")}-${reset}-${n}`, key: undefined, sequence: n, hash: "x".repeat(200) };
          lab.journal.note("publish-started", "p", record);
          await publisher.publish(item, { n, text: record.hash }, { id: record.id });
          lab.journal.note("published", "p", record);
        });
        await within(Promise.all(batch), "the batch to be stored", 30_000);
        assert.equal(await within(resetting, "the reset"), true);
        if (reset < resets - 1) resetting = proxy.replies.resetAfter(20_000);
        const cut = ticks();
        const probe = { id: `${lab.topic("probe")}-${reset}`, key: undefined, sequence: 0, hash: "probe" };
        lab.journal.note("publish-started", "p", probe);
        await publisher.publish(item, { n: 0, text: probe.hash }, { id: probe.id });
        lab.journal.note("published", "p", probe);
        // anything: what is new stands behind the rest of the batch
        const goesOn = (): boolean => lab.journal.history.some(({ op, at }) => op === "handling" && at > cut);
        await until(goesOn, "deliveries to go on after the reset", againMs);
        await until(
          () => lab.journal.history.some(({ op, id }) => op === "handled" && id === probe.id),
          "what was published after the reset",
          30_000,
        );
        faults.push({ from, until: ticks() });
      }
      await drained(publisher, [group]);
      assertSaid(lab, [consumer], "disconnected");
      const { history } = lab.journal;
      const { repeatsMs } = lab;
      const { capabilities } = lab.driver;
      assertNone(judge({ history, capabilities, groups: [group], stored: undefined, faults, repeatsMs }));
      await until(async () => (await consumer.health()).status === "up", "to be up again");
    },
  );

  test(
    { name: "the reply to a publish swallowed", needs: [...needs, "publish retry"], short: { tries: 5 } },
    async (lab, { tries }) => {
      const { proxy, url } = await lab.proxy();
      const direct = await lab.bus();
      const item = lab.event();
      let unknown = 0;
      // Something else that the broker says may spring the trap before it has read the request: then the run is invalid.
      for (let n = 0; n < tries && unknown === 0; n++) {
        const bus = await lab.bus(once, url);
        const id = `${lab.topic("swallowed")}-${n}`;
        const swallowed = proxy.swallowReply({ request: id });
        const error = await within(
          bus.publish(item, { n }, { id }).then(
            () => undefined,
            (reason: unknown) => reason,
          ),
          "an outcome",
        );
        assert.equal(await within(swallowed, "the reply to be swallowed"), true);
        assert.ok(isBusError(error), `it says that it is stored: ${String(error)}`);
        const { outcome } = error as unknown as PublishError;
        const stored = (await storedIds(lab, direct, { item }, lab.group(`audit-${n}`))).filter((each) => each === id);
        if (outcome === "rejected") assert.deepEqual(stored, [], "rejected, and yet stored");
        if (stored.length === 0) continue;
        unknown++;
        assert.deepEqual([outcome, stored.length], ["unknown", 1]);
        const receipt = await within(retried(bus, item, n, id), "the same again", 10_000);
        assert.equal(receipt, lab.driver.capabilities.dedupeWindowMs > 0);
        const copies = (await storedIds(lab, direct, { item }, lab.group(`again-${n}`))).filter((each) => each === id);
        if (lab.driver.capabilities.dedupeWindowMs > 0) assert.deepEqual(copies, [id]);
      }
      assert.ok(unknown > 0, `invalid: in none of ${tries} tries it was stored`);
    },
  );

  test(
    { name: "the reply to a publish swallowed: tried again by itself, stored once", needs, short: { messages: 5 } },
    async (lab, { messages }) => {
      const { proxy, url } = await lab.proxy();
      const [bus, direct] = [await lab.bus({}, url), await lab.bus()];
      const item = lab.event();
      for (const n of upTo(messages)) {
        const id = `${lab.topic("swallowed")}-${n}`;
        const swallowed = proxy.swallowReply({ request: id });
        await within(
          until(
            () =>
              bus.publish(item, { n }, { id }).then(
                () => true,
                () => false,
              ),
            "it to be stored",
          ),
          "a receipt",
          20_000,
        );
        assert.equal(await within(swallowed, "the reply to be swallowed"), true);
      }
      const stored = await storedIds(lab, direct, { item });
      assert.equal(new Set(stored).size, messages);
      const { dedupeWindowMs, publishRetry } = lab.driver.capabilities;
      if (dedupeWindowMs > 0 || publishRetry === "driver") assert.equal(stored.length, messages);
    },
  );

  test(
    { name: "a line that is half open, without any packet", needs, short: { publishers: 20 } },
    async (lab, { publishers }) => {
      const { proxy, url } = await lab.proxy();
      const load = await Load.start(lab, publishers, { url });
      const { silenceMs } = lab;
      await load.busy();
      const before = proxy.accepted;
      const from = ticks();
      proxy.halfOpen();
      await assertDown(load.buses, silenceMs);
      const withinMs = silenceMs + againMs;
      const over = await recovered(lab, load, from, withinMs);
      assert.ok(proxy.accepted >= before + load.buses.length, "each bus made a new connection");
      assertSaid(lab, load.buses, "disconnected");
      await assertRecovered(lab, load, {
        faults: [{ from, until: over }],
        since: from,
        withinMs,
      });
    },
  );
}

/** Whether it was a duplicate. */
async function retried(bus: Bus, item: ItemEvent, n: number, id: string): Promise<boolean> {
  let duplicate: boolean | undefined;
  await until(
    () =>
      bus.publish(item, { n }, { id }).then(
        (receipt) => (duplicate = receipt.duplicate) !== undefined,
        () => false,
      ),
    "it to be stored",
  );
  return duplicate!;
}
