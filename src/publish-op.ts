import type { Address, Headers, OutMessage } from "./driver.ts";
import type { Receipt } from "./receipt.ts";

/** What an `OutMessage` is made of, beside the event's own id, key and bytes. */
export interface OutParts {
  readonly to: Address;
  readonly id: string;
  readonly brokerId: string;
  readonly key: string | undefined;
  readonly hash: number;
  readonly replyTo: string | undefined;
  readonly notBefore: number | undefined;
  readonly expiresAt: number | undefined;
  readonly durable: boolean;
  readonly priority: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly value: unknown;
  /** What the receipt says. */
  readonly driver: string;
  readonly storedAs: Receipt["stored"];
}

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
  readonly #parts: OutParts;
  readonly #completion: Completion;
  readonly #resolve: (receipt: Receipt) => void;
  readonly reject: (error: Error) => void;
  readonly epoch: Epoch;
  /** In order of the calls. */
  readonly sequence: number;
  /** The number of the try that is under way or was the last. */
  attempt = 0;
  /** `queued`: above the bound. `batched`: goes out at the end of this turn. `held`: waits behind a retry of its key, or for its own next try. */
  state: "queued" | "batched" | "sent" | "held" | "done" = "queued";
  /** Some earlier try may have been stored. */
  doubtful = false;
  /** Stops its deadline and its abort listener. */
  release: (() => void) | undefined = undefined;

  constructor(parts: OutParts, completion: Completion, epoch: Epoch, sequence: number, resolve: (receipt: Receipt) => void, reject: (error: Error) => void) {
    this.#parts = parts;
    this.#completion = completion;
    this.epoch = epoch;
    this.sequence = sequence;
    this.#resolve = resolve;
    this.reject = reject;
  }

  get to(): Address {
    return this.#parts.to;
  }
  get id(): string {
    return this.#parts.id;
  }
  get brokerId(): string {
    return this.#parts.brokerId;
  }
  get key(): string | undefined {
    return this.#parts.key;
  }
  get hash(): number {
    return this.#parts.hash;
  }
  get replyTo(): string | undefined {
    return this.#parts.replyTo;
  }
  get notBefore(): number | undefined {
    return this.#parts.notBefore;
  }
  get expiresAt(): number | undefined {
    return this.#parts.expiresAt;
  }
  get durable(): boolean {
    return this.#parts.durable;
  }
  get priority(): number {
    return this.#parts.priority;
  }
  get headers(): Headers {
    return this.#parts.headers;
  }
  get body(): Uint8Array {
    return this.#parts.body;
  }
  get value(): unknown {
    return this.#parts.value;
  }

  stored(position?: string, duplicate = false): void {
    this.#completion.stored(this, position, duplicate);
  }

  failed(stored: "no" | "unknown", error: unknown): void {
    this.#completion.failed(this, 1, stored, error);
  }

  resolve(position: string | undefined, duplicate: boolean): void {
    const { id, driver, storedAs, to } = this.#parts;
    this.#resolve({ id, driver, stored: storedAs, stream: to.kind === "topic" ? to.stream : undefined, position, duplicate });
  }

  /** The same message for a later try, so that a late answer to an earlier one is not taken for its own. */
  again(attempt: number): OutMessage {
    return attempt === 1 ? this : { ...this.#parts, stored: (position, duplicate = false) => this.#completion.stored(this, position, duplicate), failed: (stored, error) => this.#completion.failed(this, attempt, stored, error) };
  }
}
