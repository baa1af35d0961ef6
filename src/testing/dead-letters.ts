import assert from "node:assert/strict";
import type { DeadLetter } from "../admin.ts";
import { defineEvent, Reject, typed } from "../index.ts";
import { itemsWhere } from "./items-where.ts";
import type { Item } from "./lab.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { failing, letters } from "./letters.ts";
import { until } from "./until.ts";

/** docs/guarantees.md, Dead letters: what they say, who gets them, and that nothing is lost on the way in. */
export function deadLetterTests({ test }: Suite): void {
  test({ name: "a letter says what, who, why, how often and when", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const from = Date.now();
    await bus.subscribe(item, failing("boom"), {
      group: lab.group(),
      name: "ship",
      retry: { maxAttempts: 3, backoff: { baseMs: 1 } },
    });
    const { id } = await bus.publish(
      item,
      { n: 1, text: "ü" },
      { key: "k", metadata: { tenant: 4 }, correlationId: "c-1" },
    );
    const [letter] = await letters(bus, lab.group(), 1);
    assert.ok(letter);
    assert.deepEqual(
      [letter.group, letter.topic, letter.stream, letter.attempts],
      [lab.group(), item.type, "events", 3],
    );
    assert.deepEqual([letter.handlers, letter.reason.name, letter.reason.message], [["ship"], "RangeError", "boom"]);
    assert.match(letter.reason.stack ?? "", /RangeError: boom/);
    const { event } = letter;
    assert.deepEqual(
      [event?.id, event?.data, event?.key, event?.metadata],
      [id, { n: 1, text: "ü" }, "k", { tenant: 4 }],
    );
    assert.equal(event?.correlationId, "c-1");
    assert.ok(letter.raw.length > 0);
    assert.equal(letter.history.length, 3);
    assert.ok(letter.history.every((each) => each.error.includes("boom")));
    assert.ok(letter.firstFailedAt.getTime() >= from - 1 && letter.firstFailedAt <= letter.failedAt);
    assert.ok(letter.failedAt.getTime() <= Date.now() + 1);
    assert.deepEqual(await bus.deadLetters.get(letter.id), letter);
    assert.equal(await bus.deadLetters.get(`${letter.id}-not`), undefined);
  });

  test(
    {
      name: "a letter says where its event stood, whatever copies were retried, and after a replay",
      needs: ["groups"],
    },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      await bus.subscribe(item, failing("boom"), {
        group: lab.group(),
        order: "none",
        retry: { maxAttempts: 2, backoff: { baseMs: 1 } },
      });
      await bus.publish(item, { n: 1 });
      const [first] = await letters(bus, lab.group(), 1);
      assert.equal(first?.stream, "events");
      assert.deepEqual(await bus.deadLetters.replay(first.id), { replayed: 1, failed: 0 });
      let again: DeadLetter | undefined;
      await until(async () => {
        [again] = (await bus.deadLetters.list({ group: lab.group() })).items;
        return again !== undefined && again.failedAt > first.failedAt;
      }, "it to fail again");
      assert.deepEqual([again?.stream, again?.position], ["events", first.position]);
    },
  );

  test({ name: "makes one letter per group and event, whichever handlers failed", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    for (const group of [lab.group("a"), lab.group("b")]) {
      await bus.subscribe(item, failing("first"), { group, name: "first" });
      await bus.subscribe(item, failing("second"), { group, name: "second" });
      await bus.subscribe(item, runs.handler(), { group, name: "fine" });
    }
    await bus.publish(item, { n: 1 });
    for (const group of [lab.group("a"), lab.group("b")]) {
      const [letter, none] = await letters(bus, group, 1);
      assert.equal(none, undefined);
      assert.deepEqual([letter?.group, letter?.handlers.toSorted()], [group, ["first", "second"]]);
    }
    await runs.silence(lab.quietMs);
    assert.equal(runs.handled.length, 2, "the fine one once per group");
  });

  test({ name: "only the group that failed has the letter", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    await bus.subscribe(item, failing("boom"), { group: lab.group("bad") });
    await bus.subscribe(item, runs.handler(), { group: lab.group("good") });
    await bus.publish(item, { n: 1 });
    await letters(bus, lab.group("bad"), 1);
    await runs.until(1);
    assert.equal(await bus.deadLetters.count({ group: lab.group("good") }), 0);
    assert.deepEqual(runs.attempts(1), [1]);
  });

  test(
    {
      name: "finds letters by group, topic, error and age, page by page",
      needs: ["groups"],
      short: { letters: 25 },
      full: { letters: 800 },
    },
    async (lab, { letters: count }) => {
      const bus = await lab.bus();
      const [apples, pears] = [lab.event("apples"), lab.event("pears")];
      const from = new Date();
      await bus.subscribe(
        [apples, pears],
        (event) => {
          throw new Reject(`bad ${event.data.n % 2 ? "odd" : "even"}`);
        },
        { group: lab.group() },
      );
      for (const n of upTo(count)) await bus.publish(n % 5 === 0 ? pears : apples, { n }, { key: "one" });
      await letters(bus, lab.group(), count);
      const { group } = { group: lab.group() };
      const found: DeadLetter[] = [];
      let cursor: string | undefined;
      let pages = 0;
      do {
        const page = await bus.deadLetters.list({ group, limit: 10, cursor });
        assert.ok(page.items.length <= 10);
        found.push(...page.items);
        cursor = page.cursor;
        assert.ok(++pages <= count / 10 + 2, "it ends");
      } while (cursor !== undefined);
      assert.deepEqual(
        found.map((letter) => (letter.event?.data as Item | undefined)?.n ?? -1).toSorted((a, b) => a - b),
        upTo(count),
      );
      const times = found.map((letter) => letter.failedAt.getTime());
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
        "oldest first",
      );
      const pearCount = upTo(count).filter((n) => n % 5 === 0).length;
      const odd = upTo(count).filter((n) => n % 2).length;
      assert.equal(await bus.deadLetters.count({ group, topic: pears.type }), pearCount);
      assert.equal(await bus.deadLetters.count({ group, topic: lab.topic("*") }), count);
      assert.equal(await bus.deadLetters.count({ group, error: "bad odd" }), odd);
      assert.equal(await bus.deadLetters.count({ group, error: "Reject" }), count);
      assert.equal(await bus.deadLetters.count({ group, before: from }), 0);
      assert.equal(await bus.deadLetters.count({ group, after: new Date(from.getTime() - 1) }), count);
      assert.equal(await bus.deadLetters.count({ group: lab.group("other") }), 0);
    },
  );

  test(
    { name: "gives up at once what it cannot read, with the raw bytes, and goes on", needs: ["groups"] },
    async (lab) => {
      const text = lab.topic("broken");
      const garbage = Buffer.from('{"specversion":"1.0","id":1,');
      const format = {
        name: "garbage",
        encode: () => ({ body: garbage }),
        decode: () => {
          throw new Error("never");
        },
      };
      const vandal = await lab.bus({ wire: { foreign: [{ topics: text, format, write: true }] } });
      const bus = await lab.bus();
      const runs = new Runs();
      await bus.subscribePattern(lab.topic(">"), runs.handler() as never, { group: lab.group() });
      await vandal.publishTopic(text, {});
      await bus.publish(lab.event(), { n: 1 });
      const [letter] = await letters(bus, lab.group(), 1);
      assert.deepEqual([letter?.event, letter?.reason.code, letter?.attempts], [undefined, "BUS_UNDECODABLE", 0]);
      assert.equal(Buffer.compare(letter?.raw ?? new Uint8Array(), garbage), 0, "the raw bytes");
      await runs.until(1);
      runs.assertOnce([1]);
    },
  );

  test(
    { name: "gives up at once what breaks its schema, without running the handler", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const checked = defineEvent(lab.topic("checked"), { schema: itemsWhere((n) => n > 0, "is not positive") });
      const loose = defineEvent(checked.type, { schema: typed<Item>() });
      const publisher = await lab.bus();
      const runs = new Runs();
      await bus.subscribe(checked, runs.handler(), { group: lab.group() });
      await publisher.publish(loose, { n: -1 });
      await publisher.publish(loose, { n: 1 });
      const [letter] = await letters(bus, lab.group(), 1);
      assert.deepEqual([letter?.reason.code, letter?.attempts], ["BUS_INVALID_DATA", 0]);
      assert.match(letter?.reason.message ?? "", /\bn\b/);
      await runs.until(1);
      await runs.silence(lab.quietMs);
      runs.assertOnce([1]);
    },
  );
}
