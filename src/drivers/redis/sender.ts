import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { Packing, type Chunk } from "./chunks.ts";
import { closedError, notConnected, outcomeOf, refusal, replyWord } from "./errors.ts";
import type { Reply } from "./link.ts";
import { publishScript } from "./scripts/publish.ts";
import type { Session } from "./session.ts";

const longestShort = 65_000;

/** Publishes to streams and queues: a call of the script for each lane and 128 messages, written one after another. */
export class Sender {
  readonly #session: Session;
  readonly #window: string;
  /** Written and not answered. */
  readonly #open = new Set<Chunk>();
  /** The server had lost the script: nothing ran of these, and what comes meanwhile waits behind them. */
  #refused: Chunk[] = [];
  #held: Chunk[] = [];

  constructor(session: Session) {
    this.#session = session;
    this.#window = String(session.options.dedupeWindowMs);
  }

  send(batch: readonly OutMessage[]): void {
    const session = this.#session;
    if (!session.isUp) {
      const error = session.closed ? closedError() : notConnected();
      for (const message of batch) message.failed("no", error);
      return;
    }
    const packing = new Packing();
    const now = session.clock.now();
    for (const message of batch) {
      const problem = tooLarge(message, this.#session.maxMessageBytes);
      if (problem === undefined) packing.add(this.#laneOf(message), message, topicOf(message), now);
      else message.failed("no", problem);
    }
    for (const chunk of packing.chunks) this.#write(chunk);
  }

  /** The connection goes: what is open is unknown from now on, and late answers are ignored. */
  close(error: unknown): void {
    for (const chunk of this.#open) fail(chunk, "unknown", error);
    for (const chunk of [...this.#refused, ...this.#held]) fail(chunk, "no", error);
    this.#open.clear();
    this.#refused = [];
    this.#held = [];
  }

  #laneOf({ to }: OutMessage): string {
    const { keys } = this.#session;
    return to.kind === "topic" ? keys.stream(to.stream) : keys.queue(to.kind === "queue" ? to.group : "");
  }

  #write(chunk: Chunk): void {
    if (this.#refused.length > 0) {
      this.#held.push(chunk);
      return;
    }
    this.#open.add(chunk);
    this.#session.runOnce(publishScript, [this.#window, chunk.frame()]).then(
      (answer) => {
        if (this.#open.delete(chunk)) complete(chunk, answer);
        this.#goOn();
      },
      (error: unknown) => {
        if (!this.#open.delete(chunk)) return;
        if (replyWord(error) === "NOSCRIPT") this.#refused.push(chunk);
        else fail(chunk, outcomeOf(error), error);
        this.#goOn();
      },
    );
  }

  /** When everything that was written is answered, the refused ones go again, before the others. */
  #goOn(): void {
    if (this.#refused.length === 0 || this.#open.size > 0) return;
    const again = [...this.#refused, ...this.#held];
    this.#refused = [];
    this.#held = [];
    for (const chunk of again) this.#write(chunk);
  }
}

const topicOf = ({ to }: OutMessage): string => (to.kind === "inbox" ? "" : to.topic);

function tooLarge({ body, brokerId, key, to }: OutMessage, maxMessageBytes: number): DriverError | undefined {
  if (body.byteLength > maxMessageBytes)
    return new DriverError("BUS_TOO_LARGE", `redis: a message may have at most ${maxMessageBytes} bytes`);
  const texts = [brokerId, key ?? "", to.kind === "inbox" ? "" : to.topic];
  // three bytes a character at most
  return texts.some((each) => each.length * 3 > longestShort && Buffer.byteLength(each) > longestShort)
    ? new DriverError("BUS_TOO_LARGE", `redis: a topic, a key and an id may have at most ${longestShort} bytes`)
    : undefined;
}

function fail(chunk: Chunk, stored: "no" | "unknown", error: unknown): void {
  for (const message of chunk.messages) message.failed(stored, error);
}

/** A line for each: `+<partition> <id>`, `=` known already, `@` kept for later, `!` refused. */
function complete({ messages }: Chunk, answer: Reply): void {
  const lines = String(answer).split("\n");
  for (let at = 0; at < messages.length; at += 1) {
    const message = messages[at]!;
    const line = lines[at] ?? "";
    switch (line.charAt(0)) {
      case "+":
        message.stored(line.slice(line.indexOf(" ") + 1));
        break;
      case "=":
        message.stored(undefined, true);
        break;
      case "@":
        message.stored();
        break;
      case "!":
        message.failed("no", refusal(line.slice(1)));
        break;
      default:
        message.failed("unknown", new DriverError("BUS_SERVER", "redis: an answer that is none"));
    }
  }
}
