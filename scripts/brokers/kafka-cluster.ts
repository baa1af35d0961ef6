import { setTimeout as sleep } from "node:timers/promises";
import { int, KafkaWire, noTags } from "./kafka-wire.ts";

const describeCluster = 60;

/** How many servers are well, as the one that is asked knows it. */
export async function serversOf(kafka: KafkaWire): Promise<number> {
  const body = Buffer.concat([int(0, 1), noTags]);
  const answer = await kafka.ask({ key: describeCluster, version: 0, body, flexible: true });
  const error = answer.readInt16BE(4);
  if (error !== 0) throw new Error(`DescribeCluster: error ${error}`);
  const cluster = 6 + 1; // no message
  const brokers = cluster + (answer[cluster] ?? 0) + 4;
  return (answer[brokers] ?? 0) - 1;
}

/** They find each other by themselves: each of these ports, which ask for no password, is one of a server that knows all. */
export async function formCluster(ports: readonly number[], signal: AbortSignal): Promise<void> {
  for (const port of ports) {
    const kafka = KafkaWire.plain(port);
    try {
      while ((await serversOf(kafka)) < ports.length) await sleep(20, undefined, { signal });
    } finally {
      kafka[Symbol.dispose]();
    }
  }
}
