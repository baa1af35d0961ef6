import type { Address, Headers, OutMessage } from "./driver.ts";

/** What an `OutMessage` is made of. */
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

  readonly #completion: Completion;
  readonly resolve: (result: { readonly position: string | undefined; readonly duplicate: boolean }) => void;
  readonly reject: (error: Error) => void;
  /** The number of the try that is under way or was the last. */
  attempt = 0;
  /** In order of the calls. */
  sequence = 0;
  /** `queued`: above the bound. `batched`: goes out at the end of this turn. `held`: waits behind a retry of its key, or for its own next try. */
  state: "queued" | "batched" | "sent" | "held" | "done" = "queued";
  /** Some earlier try may have been stored. */
  doubtful = false;
  epoch: Epoch | undefined;
  /** Stops its deadline and its abort listener. */
  release: (() => void) | undefined;

  constructor(parts: OutParts, completion: Completion, resolve: PublishOp["resolve"], reject: PublishOp["reject"]) {
    this.to = parts.to;
    this.id = parts.id;
    this.brokerId = parts.brokerId;
    this.key = parts.key;
    this.hash = parts.hash;
    this.replyTo = parts.replyTo;
    this.notBefore = parts.notBefore;
    this.expiresAt = parts.expiresAt;
    this.durable = parts.durable;
    this.priority = parts.priority;
    this.headers = parts.headers;
    this.body = parts.body;
    this.value = parts.value;
    this.#completion = completion;
    this.resolve = resolve;
    this.reject = reject;
  }

  stored(position?: string, duplicate = false): void {
    this.#completion.stored(this, position, duplicate);
  }

  failed(stored: "no" | "unknown", error: unknown): void {
    this.#completion.failed(this, 1, stored, error);
  }

  /** The same message for a later try, so that a late answer to an earlier one is not taken for its own. */
  again(attempt: number): OutMessage {
    return new LaterTry(this, this.#completion, attempt);
  }
}

class LaterTry implements OutMessage {
  readonly #op: PublishOp;
  readonly #completion: Completion;
  readonly #attempt: number;

  constructor(op: PublishOp, completion: Completion, attempt: number) {
    this.#op = op;
    this.#completion = completion;
    this.#attempt = attempt;
  }

  get to(): Address {
    return this.#op.to;
  }
  get id(): string {
    return this.#op.id;
  }
  get brokerId(): string {
    return this.#op.brokerId;
  }
  get key(): string | undefined {
    return this.#op.key;
  }
  get hash(): number {
    return this.#op.hash;
  }
  get replyTo(): string | undefined {
    return this.#op.replyTo;
  }
  get notBefore(): number | undefined {
    return this.#op.notBefore;
  }
  get expiresAt(): number | undefined {
    return this.#op.expiresAt;
  }
  get durable(): boolean {
    return this.#op.durable;
  }
  get priority(): number {
    return this.#op.priority;
  }
  get headers(): Headers {
    return this.#op.headers;
  }
  get body(): Uint8Array {
    return this.#op.body;
  }
  get value(): unknown {
    return this.#op.value;
  }

  stored(position?: string, duplicate = false): void {
    this.#completion.stored(this.#op, position, duplicate);
  }

  failed(stored: "no" | "unknown", error: unknown): void {
    this.#completion.failed(this.#op, this.#attempt, stored, error);
  }
}
