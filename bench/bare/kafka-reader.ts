import { randomUUID } from "node:crypto";
import { Consumer, type MessagesStream } from "@platformatic/kafka";
import { bootstrap } from "./kafka-client.ts";

export type Stream = MessagesStream<Buffer, Buffer, Buffer, Buffer>;

/** A member of a group of its own, from the beginning. */
export async function openReader(
  url: string | undefined,
  topic: string,
  highWaterMark = 1_024,
): Promise<{ readonly stream: Stream; readonly close: () => Promise<void> }> {
  const consumer = new Consumer({ ...bootstrap(url), groupId: `bare-${randomUUID()}`, maxWaitTime: 500 });
  const stream = await consumer.consume({
    topics: [topic],
    autocommit: false,
    mode: "committed",
    fallbackMode: "earliest",
    highWaterMark,
  });
  return {
    stream,
    close: async () => {
      await stream.close();
      await consumer.close(true);
    },
  };
}
