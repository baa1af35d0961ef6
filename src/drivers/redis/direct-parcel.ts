import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { DirectTable, Receiver, Target } from "./direct-table.ts";
import { encodeHeaders, FrameWriter } from "./frame.ts";
import { processOf } from "./inboxes.ts";
import { optional } from "./stored-frame.ts";

interface Choice {
  readonly target: Target | undefined;
  readonly receiver: Receiver;
}

/** One message of the direct lane on its way to those who were chosen for it. */
export class Parcel {
  readonly message: OutMessage;
  /** Written now, or missed by the last attempt. */
  #choices: Choice[] = [];
  /** Processes that were not there. */
  readonly #gone = new Set<string>();
  #reached = 0;
  #refused = false;
  #done = false;

  constructor(message: OutMessage) {
    this.message = message;
  }

  /** What it takes at least in a script. */
  get size(): number {
    return 256 + this.message.body.byteLength;
  }

  choose(table: DirectTable): void {
    const { to, replyTo } = this.message;
    this.#choices = [];
    if (to.kind === "inbox") {
      this.#choices.push({ target: undefined, receiver: { process: processOf(to.address)!, number: 0 } });
    } else if (to.kind === "direct") {
      for (const target of table.match(to.topic, replyTo !== undefined)) {
        const receiver = target.choose(to.topic, this.#gone);
        if (receiver !== undefined) this.#choices.push({ target, receiver });
      }
    }
  }

  /** By process, behind what others have for it. */
  write(frames: Map<string, Buffer[]>, now: number): void {
    for (const { receiver } of this.#choices) {
      const known = frames.get(receiver.process);
      const frame = this.#frame(receiver, now);
      if (known === undefined) frames.set(receiver.process, [frame]);
      else known.push(frame);
    }
  }

  /** What became of the frames for each process: how many were there to get them, or -1 when that is not allowed. */
  reached(counts: ReadonlyMap<string, number>): void {
    const missed: Choice[] = [];
    for (const choice of this.#choices) {
      const count = counts.get(choice.receiver.process) ?? 0;
      if (count > 0) this.#reached += 1;
      else if (count < 0) this.#refused = true;
      else missed.push(choice);
    }
    for (const { receiver } of missed) this.#gone.add(receiver.process);
    this.#choices = missed;
  }

  /** False: there is nobody else to try. */
  chooseAgain(): boolean {
    const { to } = this.message;
    const missed = this.#choices;
    this.#choices = [];
    for (const { target } of missed) {
      const receiver = to.kind === "direct" ? target?.choose(to.topic, this.#gone) : undefined;
      if (receiver !== undefined) this.#choices.push({ target, receiver });
    }
    return this.#choices.length > 0;
  }

  /** As it was passed on. */
  finish(): void {
    const { to, replyTo } = this.message;
    if (this.#done) return;
    this.#done = true;
    if (this.#reached > 0 || (to.kind === "direct" && replyTo === undefined && !this.#refused)) this.message.stored();
    else if (this.#refused)
      this.message.failed(
        "no",
        new DriverError("BUS_AUTHENTICATION", "redis: the user may not publish to our channels"),
      );
    else if (to.kind === "direct")
      this.message.failed("no", new DriverError("BUS_NO_RESPONDER", `redis: nobody answers "${to.topic}"`));
    else this.message.failed("no", new DriverError("BUS_NOT_FOUND", "redis: nobody waits for this answer any more"));
  }

  fail(stored: "no" | "unknown", error: unknown): void {
    if (this.#done) return;
    this.#done = true;
    // what was passed on by an earlier attempt has arrived
    if (this.#reached > 0) this.message.stored();
    else this.message.failed(stored, error);
  }

  #frame(receiver: Receiver, now: number): Buffer {
    const { to, key, headers, body, replyTo, expiresAt } = this.message;
    const kind = to.kind === "inbox" ? "i" : replyTo === undefined ? "d" : "r";
    return new FrameWriter(192 + body.byteLength)
      .text(kind)
      .text(to.kind === "inbox" ? to.address : String(receiver.number))
      .text(to.kind === "direct" ? to.topic : "")
      .text(optional(key))
      .text(encodeHeaders(headers))
      .bytes(body)
      .text(optional(replyTo))
      .text(expiresAt === undefined ? "" : String(Math.max(Math.ceil(expiresAt - now), 0)))
      .finish();
  }
}
