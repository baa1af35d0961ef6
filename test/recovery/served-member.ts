/** The store served over TCP in the recovery suite, and a member of it in a process of its own. */
import { type RecoveryUnderTest, runRecoveryMember } from "../../src/testing/index.ts";
import { type Flaw, served } from "../support/served-store/served.ts";
import { startServed } from "../support/served-store/start-served.ts";

/** Tells the processes of its members. */
export const flawVariable = "OMNIBUS_TEST_SERVED_FLAW";
const leaseMs = 2_000;
const silenceMs = 2_500;
const configWith =
  (flaw?: Flaw): RecoveryUnderTest["config"] =>
  (url) => ({ driver: served({ url, silenceMs, flaw }) });

export const servedUnderTest = (flaw?: Flaw): RecoveryUnderTest => ({
  name: flaw === undefined ? "served" : `served, which ${flaw},`,
  capabilities: served({ url: "served://nowhere:1", silenceMs }).capabilities,
  broker: { create: () => startServed(leaseMs) },
  config: configWith(flaw),
  member: new URL(import.meta.url),
  leaseMs,
  silenceMs,
  repeatsMs: 1_000, // a busy server has not read what nobody awaits
});

if (import.meta.main) await runRecoveryMember(configWith(process.env[flawVariable] as Flaw | undefined));
