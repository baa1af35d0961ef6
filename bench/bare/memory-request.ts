/** Bare memory, request: an EventEmitter each way, JSON each way, a map of those who wait. */
import { EventEmitter } from "node:events";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";

interface Message {
  readonly id: string;
}

export const open: Open = ({ messages, window, bytes }) => {
  const envelope = envelopes(bytes);
  const emitter = new EventEmitter();
  const waiting = new Map<string, (answer: Message) => void>();
  const handler = async (request: Message): Promise<Message> => request;
  emitter.on("request", (body: Buffer) => {
    void handler(JSON.parse(body.toString()) as Message).then((answer) => {
      setImmediate(() => emitter.emit("answer", Buffer.from(JSON.stringify(answer))));
    });
  });
  emitter.on("answer", (body: Buffer) => {
    const answer = JSON.parse(body.toString()) as Message;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  const request = (at: number): Promise<Message> =>
    new Promise((resolve) => {
      const message = envelope(at) as Message;
      waiting.set(message.id, resolve);
      setImmediate(() => emitter.emit("request", Buffer.from(JSON.stringify(message))));
    });
  return { round: () => rate(messages, () => inWindows(messages, window, request)) };
};
