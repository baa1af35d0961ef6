import { expect, it } from "vitest";
import { inequivalent } from "./inequivalent.ts";

// As 3.10.8 and 4.3.6 wrote them; the last two are the forms for what one side lacks.
it.each([
  [
    `Operation failed: QueueDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - inequivalent arg 'x-max-age' for queue 'st1' in vhost '/': received '604801000' but current is '604800000'"`,
    { kind: "queue", name: "st1", argument: "x-max-age", wanted: "604801000", found: "604800000" },
  ],
  [
    `Operation failed: ExchangeDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'ex1' in vhost '/': received 'fanout' but current is 'topic'"`,
    { kind: "exchange", name: "ex1", argument: "type", wanted: "fanout", found: "topic" },
  ],
  [
    `inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received none but current is the value 'quorum' of type 'longstr'`,
    { kind: "queue", name: "q", argument: "x-queue-type", wanted: "none", found: "quorum" },
  ],
  [
    `Operation failed: QueueDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'ia' in vhost '/': received the value '5' of type 'byte' but current is none"`,
    { kind: "queue", name: "ia", argument: "x-max-length", wanted: "5", found: "none" },
  ],
])("%s", (message, parts) => {
  expect(inequivalent(message)).toEqual(parts);
});

it("knows no other refusal", () => {
  expect(inequivalent(`404 (NOT-FOUND) with message "NOT_FOUND - no queue 'nope' in vhost '/'"`)).toBeUndefined();
});
