import { join } from "node:path";
import { expect, it } from "vitest";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import type { RetryPolicy } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { temporaryFolder } from "../support/fake-executable.ts";
import { group, open, options, item, settled } from "../support/halted-keys.ts";

it("what is parked and waits long for its retry keeps no partition from going to a member that joins", async () => {
  const file = join(temporaryFolder(), "bus.db");
  const keys = Array.from({ length: 6 }, (_, n) => `halted-${n}`);
  const broken = new Set(["0"]);
  const handled: string[] = [];
  let failed = 0;
  const retry: RetryPolicy = {
    exhausted: "halt-key",
    maxAttempts: 3,
    backoff: () => (broken.has("0") ? 1 : 600_000),
  };
  const member = async (name: string): Promise<Awaited<ReturnType<typeof open>>> => {
    const bus = await open(sqlite({ path: file }));
    await bus.subscribe(
      item,
      ({ key, data }) => {
        if (!broken.has(String(data.n))) return void handled.push(`${name} ${key} ${data.n}`);
        failed += 1;
        throw new Error("broken");
      },
      { ...options, retry },
    );
    return bus;
  };
  const first = await member("first");
  await Promise.all(keys.map((key) => first.publish(item, { n: 0 }, { key })));
  await until(async () => (await first.deadLetters.count({ group })) === keys.length, "a letter each");
  await Promise.all(keys.map((key) => first.publish(item, { n: 1 }, { key })));
  await settled(first);
  broken.clear();
  broken.add("1");
  failed = 0;
  for (const { id } of (await first.deadLetters.list({ group })).items) await first.deadLetters.replay(id);
  await until(() => failed === keys.length, "what waited to fail once");
  await member("second");
  const others = Array.from({ length: 64 }, (_, n) => `other-${n}`);
  await Promise.all(others.map((key) => first.send(group, item, { n: 2 }, { key })));
  const done = (): readonly string[] => handled.filter((each) => each.endsWith(" 2"));
  await until(
    () => done().length === others.length,
    () => `${done().length} of ${others.length}`,
    15_000,
  );
  expect(new Set(done().map((each) => each.split(" ")[0]))).toEqual(new Set(["first", "second"]));
});
