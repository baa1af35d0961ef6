import type { BusError } from "./errors.ts";
import type { Address, Headers, OutMessage } from "./driver.ts";
import type { Receipt } from "./receipt.ts";

/** Who hears how one try ended. */
export interface Completion {
  stored(op: PublishOp, position: string | undefined, duplicate: boolean): void;
  failed(op: PublishOp, attempt: number, stored: "no" | "unknown", error: unknown): void;
}

/** The publishes that were outstanding when somebody asked for a flush. */
export interface Epoch {
  outstanding: number;
  emptied: (() => void) | undefined;
}

/** One publish from its first try to its end; it is the message of its first try itself. */
export class PublishOp implements OutMessage {
  readonly to: Address;
  readonly id: string;
  readonly key: string | undefined;
  readonly headers: Headers;
  readonly body: Uint8Array;
  // what may differ is set before it is sent: an object of parts for each publish would cost as much again
  brokerId: string;
  hash = 0;
  replyTo: string | undefined = undefined;
  notBefore: number | undefined = undefined;
  expiresAt: number | undefined = undefined;
  durable = true;
  priority = 1;
  value: unknown = undefined;
  /** What the receipt says. */
  driver = "";
  storedAs: Receipt["stored"] = "broker";
  // from here on the outbound's
  completion: Completion | undefined = undefined;
  settle: ((receipt: Receipt) => void) | undefined = undefined;
  reject: ((error: Error) => void) | undefined = undefined;
  epoch: Epoch | undefined = undefined;
  /** In order of the calls. */
  sequence = 0;
  /** The number of the try that is under way or was the last. */
  attempt = 0;
  /** `queued`: above the bound. `batched`: goes out at the end of this turn. `held`: waits behind a retry of its key, or for its own next try. */
  state: "queued" | "batched" | "sent" | "held" | "done" = "queued";
  /** Some earlier try may have been stored. */
  doubtful = false;
  /** Why its last try failed. */
  failure: BusError | undefined = undefined;
  /** Stops its deadline and its abort listener. */
  release: (() => void) | undefined = undefined;

  constructor(to: Address, id: string, key: string | undefined, headers: Headers, body: Uint8Array) {
    this.to = to;
    this.id = id;
    this.key = key;
    this.headers = headers;
    this.body = body;
    this.brokerId = id;
  }

  stored(position?: string, duplicate = false): void {
    this.completion!.stored(this, position, duplicate);
  }

  failed(stored: "no" | "unknown", error: unknown): void {
    this.completion!.failed(this, 1, stored, error);
  }

  resolve(position: string | undefined, duplicate: boolean): void {
    const { id, to } = this;
    this.settle!({
      id,
      driver: this.driver,
      stored: this.storedAs,
      stream: to.kind === "topic" ? to.stream : undefined,
      position,
      duplicate,
    });
  }

  /** The same message for a later try, so that a late answer to an earlier one is not taken for its own. */
  again(attempt: number): OutMessage {
    if (attempt === 1) return this;
    const { to, id, brokerId, key, hash, replyTo, notBefore, expiresAt, durable, priority, headers, body, value } =
      this;
    return {
      ...{ to, id, brokerId, key, hash, replyTo, notBefore, expiresAt, durable, priority, headers, body, value },
      stored: (position, duplicate = false) => this.completion!.stored(this, position, duplicate),
      failed: (stored, error) => this.completion!.failed(this, attempt, stored, error),
    };
  }
}
