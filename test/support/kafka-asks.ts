import { compact, int, type KafkaWire, noTags } from "../../scripts/brokers/kafka-wire.ts";

export const topicExists = 36;

/** Of one partition. Kafka's number of the error; 0: made, or could be where it is only asked whether it could. */
export async function makeTopic(kafka: KafkaWire, name: string, copies = 1, onlyAsks = false): Promise<number> {
  const none = int(1, 1);
  const topic = Buffer.concat([compact(name), int(1, 4), int(copies, 2), none, none, noTags]);
  const body = Buffer.concat([int(2, 1), topic, int(10_000, 4), int(onlyAsks ? 1 : 0, 1), noTags]);
  const answer = await kafka.ask({ key: 19, version: 5, body, flexible: true }); // CreateTopics
  return answer.readInt16BE(4 + 1 + compact(name).length);
}
