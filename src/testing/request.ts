import assert from "node:assert/strict";
import { defineRequest, isBusError, type RemoteError, type RequestDefinition, typed } from "../index.ts";
import { itemsWhere } from "./items-where.ts";
import type { Lab } from "./lab.ts";
import { rejection } from "./rejection.ts";
import { upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { silence, until, within } from "./until.ts";

type Doubling = RequestDefinition<
  string,
  { readonly n: number },
  { readonly n: number },
  { readonly twice: number },
  { readonly twice: number }
>;

/** docs/guarantees.md, Request/reply: on the direct lane, with three ways to fail that can be told apart. */
export function requestTests({ test }: Suite): void {
  test(
    { name: "gives each of many requests at once its own answer", short: { requests: 64 }, full: { requests: 2_000 } },
    async (lab, { requests }) => {
      const [asking, answering] = [await lab.bus(), await lab.bus()];
      const double = doubling(lab);
      await answering.respond(double, async ({ n }) => {
        await new Promise((resolve) => setTimeout(resolve, lab.random() * 5));
        return { twice: n * 2 };
      });
      const answers = await Promise.all(upTo(requests).map((n) => asking.request(double, { n })));
      assert.deepEqual(
        answers,
        upTo(requests).map((n) => ({ twice: n * 2 })),
      );
    },
  );

  test({ name: "answers within one bus too" }, async (lab) => {
    const bus = await lab.bus();
    const double = doubling(lab);
    await bus.respond(double, ({ n }) => ({ twice: n * 2 }));
    assert.deepEqual(await bus.request(double, { n: 4 }), { twice: 8 });
  });

  test({ name: "a responder's failure reaches the requester, without its stack" }, async (lab) => {
    const [asking, answering] = [await lab.bus(), await lab.bus()];
    const double = doubling(lab);
    await answering.respond(double, () => {
      throw new RangeError("out of stock");
    });
    const error = (await rejection(asking.request(double, { n: 1 }), "BUS_REMOTE")) as RemoteError;
    assert.deepEqual([error.remote.name, error.remote.message], ["RangeError", "out of stock"]);
    assert.ok(!JSON.stringify(error.remote).includes(".ts:"), "no stack");
  });

  test({ name: "times out when the responder takes too long, and drops the late answer" }, async (lab) => {
    const [asking, answering] = [await lab.bus(), await lab.bus()];
    const double = doubling(lab);
    const gate = Promise.withResolvers<void>();
    await answering.respond(double, async ({ n }) => {
      if (n === 1) await gate.promise;
      return { twice: n * 2 };
    });
    const from = performance.now();
    await rejection(asking.request(double, { n: 1 }, { timeoutMs: 100 }), "BUS_TIMEOUT");
    assert.ok(performance.now() - from > 95, "not before the limit");
    gate.resolve();
    assert.deepEqual(await asking.request(double, { n: 2 }), { twice: 4 });
  });

  test({ name: "says at once that nobody is there", needs: ["no-responder"] }, async (lab) => {
    const bus = await lab.bus();
    const from = performance.now();
    await rejection(bus.request(doubling(lab), { n: 1 }, { timeoutMs: 10_000 }), "BUS_NO_RESPONDER");
    assert.ok(performance.now() - from < 8_000, `after ${performance.now() - from} ms`);
  });

  test(
    { name: "says that nobody answered in time where it can't tell that nobody is there", lacks: "no-responder" },
    async (lab) => {
      const bus = await lab.bus();
      await rejection(bus.request(doubling(lab), { n: 1 }, { timeoutMs: 300 }), "BUS_TIMEOUT");
    },
  );

  test(
    { name: "says that nobody is there any more when the responder has left", needs: ["no-responder"] },
    async (lab) => {
      const [asking, answering] = [await lab.bus(), await lab.bus()];
      const double = doubling(lab);
      const responder = await answering.respond(double, ({ n }) => ({ twice: n * 2 }));
      assert.deepEqual(await asking.request(double, { n: 1 }), { twice: 2 });
      await responder.unsubscribe();
      await rejection(asking.request(double, { n: 2 }), "BUS_NO_RESPONDER");
    },
  );

  test({ name: "responders of one group share the requests", short: { requests: 60 } }, async (lab, { requests }) => {
    const [asking, one, two] = [await lab.bus(), await lab.bus(), await lab.bus()];
    const double = doubling(lab);
    const answered: Record<string, number> = { one: 0, two: 0 };
    for (const [name, bus] of Object.entries({ one, two })) {
      await bus.respond(double, ({ n }) => {
        answered[name] = (answered[name] ?? 0) + 1;
        return { twice: n * 2 };
      });
    }
    await Promise.all(upTo(requests).map((n) => asking.request(double, { n })));
    const total = (): number => (answered["one"] ?? 0) + (answered["two"] ?? 0);
    await silence(total, "answers", lab.quietMs);
    assert.equal(total(), requests, "each was answered once");
    assert.ok((answered["one"] ?? 0) > 0 && (answered["two"] ?? 0) > 0, "both took part");
  });

  test({ name: "a responder without a group answers whatever the others do" }, async (lab) => {
    const [asking, one, two] = [await lab.bus(), await lab.bus(), await lab.bus()];
    const double = doubling(lab);
    const asked: string[] = [];
    for (const [name, bus] of Object.entries({ one, two })) {
      await bus.respond(
        double,
        ({ n }) => {
          asked.push(name);
          return { twice: n * 2 };
        },
        { group: false },
      );
    }
    assert.deepEqual(await asking.request(double, { n: 2 }), { twice: 4 });
    await until(
      () => asked.length === 2,
      () => `both asked, ${asked.join(" ")} were`,
    );
    await silence(() => asked.length, "questions", lab.quietMs);
    assert.deepEqual(asked.toSorted(), ["one", "two"]);
  });

  test({ name: "an aborted request rejects at once" }, async (lab) => {
    const bus = await lab.bus();
    const double = doubling(lab);
    const controller = new AbortController();
    const gate = Promise.withResolvers<void>();
    await bus.respond(double, async ({ n }) => {
      controller.abort();
      await gate.promise;
      return { twice: n };
    });
    const from = performance.now();
    await rejection(bus.request(double, { n: 1 }, { signal: controller.signal, timeoutMs: 20_000 }), "BUS_ABORTED");
    assert.ok(performance.now() - from < 5_000);
    gate.resolve();
  });

  test(
    { name: "a responder is told when the requester has stopped waiting", short: { timeoutMs: 1_000 } },
    async (lab, { timeoutMs }) => {
      const [asking, answering] = [await lab.bus(), await lab.bus()];
      const double = doubling(lab);
      const told = Promise.withResolvers<number>();
      await answering.respond(double, async ({ n }, { signal }) => {
        if (n === 0) return { twice: 0 };
        const from = performance.now();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        told.resolve(performance.now() - from);
        return { twice: 0 };
      });
      await asking.request(double, { n: 0 }); // the first one also opens where answers come
      await rejection(asking.request(double, { n: 1 }, { timeoutMs }), "BUS_TIMEOUT");
      const after = await within(told.promise, "the responder to be told", 5_000);
      assert.ok(after < timeoutMs + 2_000, `after ${after} ms`);
    },
  );

  test(
    { name: "does not run a request that nobody waits for any more", short: { timeoutMs: 150 } },
    async (lab, { timeoutMs }) => {
      const [asking, answering] = [await lab.bus(), await lab.bus()];
      const double = doubling(lab);
      const gate = Promise.withResolvers<void>();
      const asked: number[] = [];
      const answer = async ({ n }: { readonly n: number }): Promise<{ readonly twice: number }> => {
        asked.push(n);
        if (n === 1) await gate.promise;
        return { twice: n * 2 };
      };
      await answering.respond(double, answer, { concurrency: 1 });
      const first = asking.request(double, { n: 1 });
      await until(() => asked.length === 1, "the first to be asked");
      await rejection(asking.request(double, { n: 2 }, { timeoutMs }), "BUS_TIMEOUT");
      const since = performance.now();
      await until(() => performance.now() > since + timeoutMs, "the answer to be too late whatever the way takes");
      gate.resolve();
      assert.deepEqual(await first, { twice: 2 });
      assert.deepEqual(await asking.request(double, { n: 3 }), { twice: 6 });
      await silence(() => asked.length, "questions", lab.quietMs);
      assert.deepEqual(asked, [1, 3]);
    },
  );

  test({ name: "no stream captures a request or its answer", needs: ["groups", "replay"] }, async (lab) => {
    const bus = await lab.bus();
    const double = doubling(lab);
    const seen: string[] = [];
    await bus.subscribePattern(lab.topic(">"), (event) => seen.push(`tail ${event.topic}`));
    await bus.subscribePattern(lab.topic(">"), (event) => seen.push(`group ${event.topic}`), {
      group: lab.group("before"),
    });
    await bus.respond(double, ({ n }) => ({ twice: n * 2 }));
    const messages = async (): Promise<number> =>
      (await bus.streams.list()).reduce((sum, stream) => sum + stream.messages, 0);
    const before = await messages();
    await bus.request(double, { n: 1 });
    await bus.subscribePattern(lab.topic(">"), (event) => seen.push(`later ${event.topic}`), {
      group: lab.group("after"),
    });
    await bus.publish(lab.event("marker"), { n: 1 });
    await until(
      () => seen.length >= 3,
      () => seen.join(", "),
    );
    await silence(() => seen.length, "events", lab.quietMs);
    assert.deepEqual(new Set(seen), new Set(["tail", "group", "later"].map((who) => `${who} ${lab.topic("marker")}`)));
    assert.equal(await messages(), before + 1);
  });

  test({ name: "refuses a question and an answer that break their schemas" }, async (lab) => {
    const bus = await lab.bus();
    const positive = itemsWhere((n) => n > 0, "is not positive");
    const negate = defineRequest(lab.topic("negate"), { request: positive, response: positive });
    let asked = 0;
    await bus.respond(negate, ({ n }) => {
      asked++;
      return { n: -n };
    });
    await rejection(bus.request(negate, { n: -1 }), "BUS_INVALID_DATA");
    assert.equal(asked, 0);
    const error = await rejection(bus.request(negate, { n: 1 }), "BUS_REMOTE");
    assert.ok(isBusError(error));
    assert.equal((error as RemoteError).remote.code, "BUS_INVALID_DATA");
  });
}

function doubling(lab: Lab): Doubling {
  return defineRequest(lab.topic("double"), {
    request: typed<{ readonly n: number }>(),
    response: typed<{ readonly twice: number }>(),
  });
}
