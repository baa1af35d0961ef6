import type { Parameters } from "../suite.ts";
import { askedMeanwhile } from "./asked-meanwhile.ts";
import { brokerFaults } from "./broker-faults.ts";
import { deletions } from "./deletions.ts";
import { lethalHandler } from "./lethal-handler.ts";
import { lineFaults } from "./line-faults.ts";
import { memberFaults } from "./member-faults.ts";
import type { RecoveryLab } from "./recovery-lab.ts";
import type { RecoverySpec } from "./recovery-under-test.ts";

/** What the files of faults add their tests to. */
export interface RecoverySuite {
  readonly test: <P extends Parameters>(
    spec: RecoverySpec<P>,
    body: (lab: RecoveryLab, parameters: P) => Promise<void>,
  ) => void;
}

/** The suite's parts, by the heading they run under. */
export const recoveryTopics: Readonly<Record<string, (suite: RecoverySuite) => void>> = {
  "the broker's process": brokerFaults,
  "what is asked meanwhile": askedMeanwhile,
  "the line": lineFaults,
  "what is deleted": deletions,
  "a member's process": memberFaults,
  "a handler that kills": lethalHandler,
};
