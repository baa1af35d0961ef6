import { abilityTests } from "./abilities.ts";
import { adminTests } from "./admin.ts";
import { batchTests } from "./batches.ts";
import { closingTests } from "./closing.ts";
import { deadLetterTests } from "./dead-letters.ts";
import { haltKeyTests } from "./halt-key.ts";
import { delayTests } from "./delay.ts";
import { directTests } from "./direct.ts";
import { faultTests } from "./faults.ts";
import { givingUpTests } from "./giving-up.ts";
import { groupInfoTests } from "./group-info.ts";
import { groupLifeTests } from "./group-life.ts";
import { groupTests } from "./groups.ts";
import { handOnTests } from "./hand-on.ts";
import { handlingTests } from "./handling.ts";
import { keyValueTests } from "./key-value.ts";
import { looserOrderTests } from "./looser-order.ts";
import { lossTests } from "./losses.ts";
import { membershipTests } from "./membership.ts";
import { orderTests } from "./order.ts";
import { payloadTests } from "./payload.ts";
import { publishTests } from "./publish.ts";
import { recoveryTests } from "./recovery.ts";
import { replayTests } from "./replay.ts";
import { scheduledTests } from "./scheduled.ts";
import { requestTests } from "./request.ts";
import { retryTests } from "./retry.ts";
import { statisticsTests } from "./statistics.ts";
import { streamTests } from "./streams.ts";
import type { Suite } from "./suite.ts";
import { takeoverTests } from "./takeover.ts";
import { tailTests } from "./tails.ts";

/** The suite's parts, by the heading they run under. */
export const topics: Readonly<Record<string, (suite: Suite) => void>> = {
  publishing: publishTests,
  "what is published": payloadTests,
  delay: delayTests,
  scheduled: scheduledTests,
  groups: groupTests,
  "the life of a group": groupLifeTests,
  membership: membershipTests,
  "handing on": handOnTests,
  handling: handlingTests,
  "taking over": takeoverTests,
  retry: retryTests,
  "giving up": givingUpTests,
  "batches, pull and iterators": batchTests,
  order: orderTests,
  "looser order": looserOrderTests,
  "dead letters": deadLetterTests,
  replay: replayTests,
  "halted keys": haltKeyTests,
  direct: directTests,
  request: requestTests,
  tails: tailTests,
  streams: streamTests,
  losses: lossTests,
  admin: adminTests,
  "what a group has before it": groupInfoTests,
  statistics: statisticsTests,
  closing: closingTests,
  "key-value": keyValueTests,
  recovery: recoveryTests,
  faults: faultTests,
  "what is declared": abilityTests,
};
