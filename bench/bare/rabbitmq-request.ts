/** Bare RabbitMQ, requests between two processes: a transient queue, answers by direct reply-to, told apart by their correlation. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { randomUUID } from "node:crypto";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { openClient } from "./rabbitmq-client.ts";

const replies = "amq.rabbitmq.reply-to";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const queue = `bare-${randomUUID()}`;
      const client = await openClient(url);
      const channel = await client.createChannel();
      const child = fork(new URL("rabbitmq-responder.ts", import.meta.url), [url!, queue]);
      await once(child, "message");
      const waiting = new Map<string, () => void>();
      await channel.consume(
        replies,
        (message) => {
          const { correlationId } = message!.properties as { readonly correlationId: string };
          if (JSON.parse(message!.content.toString()) !== null) waiting.get(correlationId)?.();
          waiting.delete(correlationId);
        },
        { noAck: true },
      );
      const request = (at: number): Promise<void> =>
        new Promise((resolve) => {
          const correlationId = String(at);
          waiting.set(correlationId, resolve);
          channel.sendToQueue(queue, Buffer.from(JSON.stringify(envelope(at))), { replyTo: replies, correlationId });
        });
      const sample = await rate(messages, () => inWindows(messages, window, request));
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
      await client.close();
      return sample;
    },
  };
};
