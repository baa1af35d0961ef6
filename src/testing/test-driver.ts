import assert from "node:assert/strict";
import type { BusConfig } from "../index.ts";
import type { Capabilities } from "../driver.ts";
import { Lab } from "./lab.ts";
import { isFull, seed } from "./settings.ts";
import { lack, type Need, type Parameters, type TestSpec } from "./suite.ts";
import { topics } from "./topics.ts";
import { within } from "./until.ts";

/** A broker of its own, or a part of one: what several buses share. */
export interface World {
  /** What `connect` takes. All buses made from what it returns share this world's broker. */
  config(): BusConfig;
  /** Stops the broker hard and starts it again; resolves when it answers. Only where `DriverUnderTest.restart` is true. */
  restart?(): Promise<void>;
  /** Every bus is closed by then. */
  dispose(): Promise<void>;
}

export interface DriverUnderTest {
  /** What its tests are called. */
  readonly name: string;
  /** What the driver declares; tests are skipped and counter-tests chosen by it. */
  readonly capabilities: Capabilities;
  /** Fresh, or at least with nothing in it that a test could mistake for its own: names are unique per test. */
  create(): Promise<World>;
  /** Whether its worlds can restart their broker. @default false */
  readonly restart?: boolean | undefined;
  /** Whether `config()` has a `driver`, so that a test can stand between it and the bus. @default false */
  readonly ownDriver?: boolean | undefined;
  /** Administration that the broker lacks: the bus must refuse it. @default none */
  readonly unsupported?: readonly ("trim" | "reset" | "recover")[] | undefined;
  /** How long a delivery is kept for a member that fell silent: what a world is configured with. @default 10_000 */
  readonly leaseMs?: number | undefined;
}

/** The test functions of vitest and of node:test alike. */
export interface TestRunner {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: TestFunction;
}
export interface TestFunction {
  (name: string, options: { readonly timeout: number }, body: () => Promise<void>): unknown;
  readonly skip: (name: string, body: () => void) => unknown;
}

/**
 * Declares the conformance suite for one driver. Every skip is printed with its reason, and only a declared capability is
 * one. A failure's message ends with the seed that repeats it.
 *
 * @example
 * testDriver({ describe, it }, { name: "mine", capabilities: mine().capabilities, create: async () => ({ config: () => ({ driver: mine() }), dispose: async () => {} }) });
 */
export function testDriver({ describe, it }: TestRunner, driver: DriverUnderTest): void {
  const skipped: string[] = [];
  describe(driver.name, () => {
    for (const [title, declare] of Object.entries(topics)) {
      describe(title, () => {
        declare({
          test(spec, body) {
            const reason = skipReason(spec, driver);
            if (reason === undefined) {
              const timeout = spec.timeoutMs ?? (isFull ? 300_000 : 60_000);
              it(spec.name, { timeout }, () => runTest(driver, spec, body, timeout));
            } else if (reason !== "") {
              skipped.push(`${title}: ${spec.name} (${reason})`);
              it.skip(`${spec.name} (skipped: ${driver.name} ${reason})`, () => undefined);
            }
          },
        });
      });
    }
  });
  for (const line of skipped) console.info(`${driver.name} skips ${line}`);
}

/** Undefined: runs. Empty: a counter-test of something that the driver has. */
function skipReason(spec: TestSpec<Parameters>, driver: DriverUnderTest): string | undefined {
  if (spec.lacks !== undefined && lack(spec.lacks, driver) === undefined) return "";
  for (const need of spec.needs ?? []) {
    const reason = lack(need, driver);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** One test of the suite, in a world of its own. */
export async function runTest<P extends Parameters>(
  driver: DriverUnderTest,
  spec: TestSpec<P>,
  body: (lab: Lab, parameters: P) => Promise<void>,
  timeoutMs: number,
): Promise<void> {
  const parameters = (isFull ? (spec.full ?? spec.short) : spec.short) ?? ({} as P);
  let failure: unknown;
  const lab = await Lab.open(driver, spec.name);
  try {
    if (spec.lacks !== undefined) await assertLacking(lab, spec.lacks);
    await within(body(lab, parameters), `the whole of "${spec.name}"`, timeoutMs - 10_000);
  } catch (error) {
    failure = error;
  }
  // What closing says matters only when nothing went wrong before.
  await lab[Symbol.asyncDispose]().catch((error: unknown) => (failure ??= error));
  if (failure instanceof Error)
    failure.message += `\nrepeat with OMNIBUS_SEED=${seed}${isFull ? " OMNIBUS_FULL=1" : ""}`;
  if (failure !== undefined) throw failure;
}

/** A connection promises what its driver declares, or less. */
async function assertLacking(lab: Lab, need: Need): Promise<void> {
  const { capabilities } = (await lab.driverEnd()).connection;
  assert.notEqual(
    lack(need, { ...lab.driver, capabilities }),
    undefined,
    `the driver declares that it lacks ${need}, and connected it promises it`,
  );
}
