import { rabbitConformance } from "../support/rabbitmq-conformance.ts";

await rabbitConformance("rabbitmq");
