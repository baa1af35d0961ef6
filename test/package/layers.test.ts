import { describe, expect, it } from "vitest";
import { refusal } from "../../scripts/check-layers.ts";

describe("the direction of imports", () => {
  it.each([
    ["src/internal/heap.ts", "src/driver.ts", "type"],
    ["src/drivers/memory/index.ts", "src/drivers/sqlite/index.ts", "value"],
    ["src/drivers/memory/index.ts", "src/bus.ts", "type"],
    ["src/drivers/memory/index.ts", "src/clock.ts", "value"],
    ["src/bus.ts", "src/drivers/memory/index.ts", "lazy"],
    ["src/load-driver.ts", "src/drivers/memory/index.ts", "value"],
    ["src/bus.ts", "src/testing/index.ts", "value"],
    ["src/bus.ts", "src/cli/main.ts", "value"],
    ["src/testing/index.ts", "src/cli/main.ts", "value"],
    ["src/cli/main.ts", "src/codec.ts", "value"],
    ["src/bus.ts", "src/bus.test.ts", "value"],
    ["src/bus.ts", "scripts/run.ts", "value"],
  ] as const)("refuses %s → %s (%s)", (from, to, kind) => {
    expect(refusal(from, to, kind)).toBeTypeOf("string");
  });

  it.each([
    ["src/internal/heap.ts", "src/internal/node.ts", "value"],
    ["src/drivers/memory/index.ts", "src/drivers/memory/ring.ts", "value"],
    ["src/drivers/memory/index.ts", "src/internal/heap.ts", "value"],
    ["src/drivers/memory/index.ts", "src/driver.ts", "value"],
    ["src/drivers/memory/index.ts", "src/clock.ts", "type"],
    ["src/load-driver.ts", "src/drivers/memory/index.ts", "lazy"],
    ["src/bus.ts", "src/internal/heap.ts", "value"],
    ["src/cli/main.ts", "src/index.ts", "value"],
    ["src/testing/index.ts", "src/driver.ts", "type"],
  ] as const)("allows %s → %s (%s)", (from, to, kind) => {
    expect(refusal(from, to, kind)).toBeUndefined();
  });
});
