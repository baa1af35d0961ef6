import { expect, it } from "vitest";
import { notConnected } from "../../src/drivers/redis/errors.ts";
import { getScript } from "../../src/drivers/redis/scripts/state.ts";
import { stateOf } from "../../src/drivers/redis/state-store.ts";
import { changed } from "../../src/testing/changed.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

it.skipIf(redis === undefined)("a watch tells what it asked for together with an answer that was lost", async () => {
  const prefix = freshPrefix();
  const watched = await openSession(redis!.url, prefix);
  const writing = await openSession(redis!.url, prefix);
  let cut = false;
  let lost = 0;
  const watching = changed(watched, {
    run: async (script, args) => {
      const reply = await watched.run(script, args);
      if (!cut || script !== getScript || args[1] !== "b") return reply;
      lost += 1;
      throw notConnected();
    },
  });
  const told: string[] = [];
  const stop = new AbortController();
  const watch = (async () => {
    for await (const { key, value } of stateOf(watching).watch("bucket", "", stop.signal))
      told.push(`${key}${value === undefined ? " gone" : new TextDecoder().decode(value)}`);
  })();
  const state = stateOf(writing);
  await state.put("bucket", "a", bytes("1"), {});
  await state.put("bucket", "b", bytes("1"), {});
  await state.put("bucket", "c", bytes("1"), {});
  await until(() => told.length === 3, "what is there");
  cut = true;
  // one after the other in one turn, so that they are asked for together
  await Promise.all([
    state.put("bucket", "a", bytes("2"), {}),
    state.put("bucket", "b", bytes("2"), {}),
    state.delete("bucket", "c"),
  ]);
  await until(() => lost > 0, "an answer to be lost");
  cut = false;
  await until(
    () => ["a2", "b2", "c gone"].every((each) => told.includes(each)),
    () => `every change to be told; told were ${told.join(", ")}`,
  );
  expect(told.slice(3).toSorted()).toEqual(["a2", "b2", "c gone"]);
  stop.abort();
  await watch;
  await watched.close(AbortSignal.timeout(1_000));
  await writing.close(AbortSignal.timeout(1_000));
});
