import { describe, expect, it } from "vitest";
import type { Scope } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { onMemory, Seen, Tick } from "../support/events.ts";

/** What a subscriber gets of an event that was published within the scope, and of one that was published beside it. */
async function published(scope: Scope): Promise<readonly [within: object | undefined, beside: object | undefined]> {
  await using bus = await onMemory({ name: "me" });
  const seen = new Seen();
  await bus.subscribe(Tick, seen.handle);
  await bus.within(scope, () => bus.publish(Tick, { n: 1 }));
  await bus.publish(Tick, { n: 2 });
  await until(() => seen.count === 2, "both");
  return [
    seen.events.find(({ data }) => (data as { n: number }).n === 1),
    seen.events.find(({ data }) => (data as { n: number }).n === 2),
  ];
}

describe("the scope of within", () => {
  it("option: Scope.source is who published", async () => {
    const [within, beside] = await published({ source: "tenant-a" });
    expect(within).toMatchObject({ source: "tenant-a" });
    expect(beside).toMatchObject({ source: "me" });
  });

  it("option: Scope.session is the session of what is published in it", async () => {
    const [within, beside] = await published({ session: "s-1" });
    expect(within).toMatchObject({ session: "s-1" });
    expect(beside).toMatchObject({ session: undefined });
  });

  it("option: Scope.metadata goes with what is published in it", async () => {
    const [within, beside] = await published({ metadata: { tenant: "a" } });
    expect(within).toMatchObject({ metadata: { tenant: "a" } });
    expect(beside).toMatchObject({ metadata: {} });
  });

  it("option: Scope.correlationId goes with what is published in it", async () => {
    const [within, beside] = await published({ correlationId: "c-1" });
    expect(within).toMatchObject({ correlationId: "c-1" });
    expect(beside).not.toMatchObject({ correlationId: "c-1" });
  });
});
