import { expect, it } from "vitest";
import { brokerKinds } from "../../scripts/brokers/broker-name.ts";
import { lastWords } from "../support/last-words.ts";

const noise = Array.from({ length: 30 }, (_, at) => `line ${at}`).join("\n");
const { nats, kafka, rabbitmq, postgres } = brokerKinds;

it.each([
  ["Go", nats, "Server is ready", "panic: runtime error: index out of range"],
  ["Java", kafka, "Kafka Server started", "# A fatal error has been detected by the Java Runtime Environment:"],
  [
    "Java without memory",
    kafka,
    "Kafka Server started",
    "# There is insufficient memory for the Java Runtime Environment to continue.",
  ],
  [
    "Kafka",
    kafka,
    "Kafka Server started",
    "[kafka-1-raft-io-thread] ERROR org.apache.kafka.server.fault.ProcessTerminatingFaultHandler - Encountered fatal fault: as told",
  ],
  [
    "Erlang",
    rabbitmq,
    "Server startup complete; 0 plugins started.",
    `{"Kernel pid terminated",application_controller,"{application_terminated,rabbit,shutdown}"}`,
  ],
  [
    "Erlang without memory",
    rabbitmq,
    "Server startup complete; 0 plugins started.",
    `eheap_alloc: Cannot allocate 1781763260 bytes of memory (of type "heap").`,
  ],
  [
    "PostgreSQL",
    postgres,
    "2026-11-22 12:00:00.000 UTC [7] LOG:  database system is ready to accept connections",
    "2026-11-22 12:00:01.000 UTC [8] PANIC:  could not write to file",
  ],
])("the last words of %s are how it began to end", (_name, kind, ready, word) => {
  const log = `${word} of a start before\n${ready}\n${noise}\n${word}\n${noise}\n`;
  expect(lastWords(log, kind!.readyLine)).toBe(`${word}\n${noise}\n`);
});

it("the last words of one that said nothing of its end are its last lines", () => {
  const refused = "2026-11-22 12:00:00.000 UTC [9] FATAL:  password authentication failed";
  const ready = "2026-11-22 12:00:00.000 UTC [7] LOG:  database system is ready to accept connections";
  const last = noise.split("\n").slice(-20).join("\n");
  expect(lastWords(`${ready}\n${refused}\n${noise}\n`, postgres!.readyLine)).toBe(last);
});
