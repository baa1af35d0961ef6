import { randomUUID } from "node:crypto";
import { Admin, Producer } from "@platformatic/kafka";

export const bootstrap = (
  url: string | undefined,
): { readonly clientId: string; readonly bootstrapBrokers: string[] } => ({
  clientId: "bench",
  bootstrapBrokers: [new URL(url!.replace(/^kafka:/, "http:")).host],
});

/** A topic of one partition, and what removes it. */
export async function freshTopic(
  url: string | undefined,
): Promise<{ readonly topic: string; remove: () => Promise<void> }> {
  const admin = new Admin(bootstrap(url));
  const topic = `bare-${randomUUID()}`;
  await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 });
  const remove = async (): Promise<void> => {
    await admin.deleteTopics({ topics: [topic] });
    await admin.close();
  };
  return { topic, remove };
}

export interface Sender {
  /** One request, acknowledged by all replicas. */
  readonly send: (bodies: readonly string[]) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

export function openSender(url: string | undefined, topic: string): Sender {
  const producer = new Producer({ ...bootstrap(url), idempotent: true, acks: -1 });
  return {
    send: (bodies) =>
      producer.send({ messages: bodies.map((body) => ({ topic, partition: 0, value: Buffer.from(body) })) }),
    close: () => producer.close(),
  };
}

/** A backlog of that many, or as many as a program publishes: 256 at once, one request in flight. */
export async function sendAll(sender: Sender, messages: number, bodyOf: (at: number) => string): Promise<void> {
  for (let done = 0; done < messages; done += 256)
    await sender.send(Array.from({ length: Math.min(256, messages - done) }, (_, at) => bodyOf(done + at)));
}
