import { kafkaConformance } from "../support/kafka-conformance.ts";

await kafkaConformance("kafka");
