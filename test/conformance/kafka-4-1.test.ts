import { kafkaConformance } from "../support/kafka-conformance.ts";

/** What a release may do otherwise: commits take ten times as long as on the newest one. */
const slices = ["groups", "order", "delay", "handing on", "taking over", "losses"];

await kafkaConformance("kafka@4.1", "4.1", process.env["OMNIBUS_FULL"] === "1" ? undefined : slices);
