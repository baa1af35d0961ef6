import { describe, expect, it, vi } from "vitest";
import { recoveryTopics } from "../../src/testing/outages/recovery-topics.ts";
import { runRecovery } from "../../src/testing/outages/test-recovery.ts";
import type { Flaw } from "../support/served-store/served.ts";
import { flawVariable, servedUnderTest } from "./served-member.ts";

const tests = new Map<string, (flaw: Flaw) => Promise<void>>();
for (const declare of Object.values(recoveryTopics))
  declare({
    // what it finds, it finds with short parameters
    test: (spec, body) =>
      void tests.set(spec.name, (flaw) => runRecovery(servedUnderTest(flaw), { ...spec, full: undefined }, body)),
  });

/** Each test must be able to fail: what a driver can get wrong, and by what it is caught. */
const flaws: readonly (readonly [Flaw, string, RegExp])[] = [
  ["acknowledges before it is stored", "the broker killed and started again after a second", /I1: lost \d+ of/],
  ["acknowledges before it is stored", "the reply to a publish swallowed", /it says that it is stored/],
  ["calls the unknown rejected", "the reply to a publish swallowed", /rejected, and yet stored/],
  ["new id for each try", "the reply to a publish swallowed: tried again by itself, stored once", /6 !== 5|1\d? !== 5/],
  ["forgets where it was", "a group deleted by another bus under its running subscribers", /I1: lost \d+ of/],
  ["forgets where it was", "the broker restarted as an operator would", /I1: lost \d+ of \d+ in no group/],
  [
    "notices no silence",
    "a line that is half open, without any packet",
    /not within \d+ ms: (health to be down|everything)/,
  ],
  ["comes back late", "the broker restarted as an operator would", /I9: .* got something new after \d+ ms/],
  [
    "answers late again",
    "the broker restarted as an operator would",
    /I9: the requester got something new after \d+ ms/,
  ],
  ["says lost what is not", "the broker restarted as an operator would", /what lost nothing does not say that it did/],
  ["loses acknowledgements", "the broker killed and started again after a second", /I6: .* no fault explains/],
  ["says nothing", "the broker restarted as an operator would", /was told: .*and not "disconnected"/],
  [
    "keeps no attempts",
    "a handler kills its own process for one event, each time (order: none)",
    /started 5 times: 1, 1, 1, 1, 1/,
  ],
  ["forgets who waits", "what is asked while the broker is silent ends", /what did not: .*groups\.list/],
];

describe("a driver with a flaw", () => {
  it.each(flaws)("which %s is caught by: %s", { timeout: 120_000 }, async (flaw, name, caught) => {
    const said = vi.spyOn(console, "info").mockImplementation(() => undefined);
    vi.stubEnv(flawVariable, flaw);
    await expect(tests.get(name)!(flaw)).rejects.toThrow(caught);
    vi.unstubAllEnvs();
    said.mockRestore();
  });
});
