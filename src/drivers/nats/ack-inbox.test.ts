import { expect, it } from "vitest";
import { AckInbox } from "./ack-inbox.ts";
import { NoAnswer } from "./errors.ts";

it("gives up what was sent to such subjects before, with a time-out of its own or without, and nothing else", () => {
  const inbox = new AckInbox("_INBOX.a");
  const lost: string[] = [];
  const send = (subject: string, since?: number): void => {
    const told = (written: boolean, error: unknown): void => {
      expect([written, error instanceof NoAnswer]).toEqual([true, true]);
      lost.push(subject);
    };
    inbox.add(subject, { answered: () => undefined, lost: told }, since);
  };
  send("$KV.bucket.asked");
  send("$KV.bucket.published", 1);
  send("$KV.other.asked");
  const before = inbox.next;
  send("$KV.bucket.later");
  inbox.unanswered(before, "$KV.bucket.", "it is gone");
  expect(lost).toEqual(["$KV.bucket.asked", "$KV.bucket.published"]);
  expect(inbox.size).toBe(2);
});
