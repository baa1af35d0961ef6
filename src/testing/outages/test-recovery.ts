import { isFull, seed } from "../settings.ts";
import type { Parameters } from "../suite.ts";
import type { TestRunner } from "../test-driver.ts";
import { within } from "../until.ts";
import { RecoveryLab } from "./recovery-lab.ts";
import { recoveryTopics } from "./recovery-topics.ts";
import { lackToRecover, type RecoverySpec, type RecoveryUnderTest } from "./recovery-under-test.ts";

const timeout = isFull ? 600_000 : 90_000;

/**
 * Declares the recovery suite for one driver: what brokers, lines and processes do to people, held against the invariants. Every
 * skip is printed with its reason.
 *
 * @example
 * testRecovery({ describe, it }, { name: "mine", capabilities: mine().capabilities, broker: { create: startMine }, config: (url) => ({ driver: mine({ url }) }), member: new URL("mine-member.ts", import.meta.url) });
 */
export function testRecovery({ describe, it }: TestRunner, driver: RecoveryUnderTest): void {
  const skipped: string[] = [];
  describe(`${driver.name} recovers`, () => {
    for (const [title, declare] of Object.entries(recoveryTopics)) {
      describe(title, () => {
        declare({
          test(spec, body) {
            const reason = spec.needs
              .map((need) => lackToRecover(need, driver))
              .find((lacking) => lacking !== undefined);
            if (reason === undefined) it(spec.name, { timeout }, () => runRecovery(driver, spec, body));
            else {
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

/** One test of the suite, with a broker of its own. */
export async function runRecovery<P extends Parameters>(
  driver: RecoveryUnderTest,
  spec: RecoverySpec<P>,
  body: (lab: RecoveryLab, parameters: P) => Promise<void>,
): Promise<void> {
  const parameters = (isFull ? (spec.full ?? spec.short) : spec.short) ?? ({} as P);
  let failure: unknown;
  const lab = await RecoveryLab.open(driver, spec.name);
  try {
    await within(body(lab, parameters), `the whole of "${spec.name}"`, timeout - 15_000);
  } catch (error) {
    failure = error;
  }
  // What closing says matters only when nothing went wrong before.
  await lab[Symbol.asyncDispose]().catch((error: unknown) => (failure ??= error));
  if (failure instanceof Error)
    failure.message += `\nrepeat with OMNIBUS_SEED=${seed}${isFull ? " OMNIBUS_FULL=1" : ""}`;
  if (failure !== undefined) throw failure;
}
