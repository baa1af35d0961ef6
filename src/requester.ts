import type { RequestOptions } from "./bus.ts";
import { ambient } from "./context.ts";
import type { Core } from "./core.ts";
import type { InMessage, Source, Window } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { BusError, PublishError, RemoteError } from "./errors.ts";
import type { Outbound } from "./outbound.ts";
import type { Publisher } from "./publisher.ts";
import { open } from "./receiving.ts";
import type { RequestDefinition } from "./request-definition.ts";
import { check } from "./schema-check.ts";
import { Supervisor, type Broker, type Consumer } from "./supervisor.ts";
import { header } from "./wire-names.ts";

interface Pending {
  answer(message: InMessage): void;
  fail(error: BusError): void;
}

/** So that a responder is told after its requester has stopped waiting, not before. */
const graceMs = 50;
const inboxWindow: Window = { messages: 10_000, bytes: 64 * 1_048_576 };

/** Asks, and waits at this process's inbox: one for all requests, opened with the first. */
export class Requester implements Consumer {
  readonly what = "the inbox of this process";
  readonly #core: Core;
  readonly #publisher: Publisher;
  readonly #outbound: Outbound;
  readonly #supervisor: Supervisor;
  readonly #pending = new Map<string, Pending>();

  constructor(core: Core, broker: Broker, publisher: Publisher, outbound: Outbound) {
    this.#core = core;
    this.#publisher = publisher;
    this.#outbound = outbound;
    this.#supervisor = new Supervisor(core, broker, this);
  }

  async request(definition: RequestDefinition, data: unknown, options: RequestOptions): Promise<unknown> {
    const timeoutMs = options.timeoutMs ?? 5_000;
    const startedAt = this.#core.clock.ticks();
    await check(definition.request, data, `request "${definition.type}"`);
    await this.#withinLimits(this.#ready(), definition.type, timeoutMs, options.signal);
    const around = ambient();
    const cause = this.#core.options.correlateByItself ? around?.cause : undefined;
    const envelope: Envelope = {
      id: this.#core.ids.next(),
      type: definition.type,
      version: 1,
      topic: definition.type,
      source: around?.scope?.source ?? this.#core.options.name,
      time: this.#core.clock.now(),
      key: options.key,
      session: around?.scope?.session,
      correlationId: options.correlationId ?? around?.scope?.correlationId ?? cause?.correlationId,
      causationId: cause?.id,
      priority: "normal",
      metadata:
        around?.scope?.metadata === undefined ? options.metadata : { ...around.scope.metadata, ...options.metadata },
      maxAttempts: undefined,
      data,
    };
    const left = Math.max(timeoutMs - (this.#core.clock.ticks() - startedAt), 1);
    const answer = await this.#ask(definition.type, envelope, left, timeoutMs, options.signal);
    return check(definition.response, answer.data, `the answer to "${definition.type}"`);
  }

  /** Whoever still waits is told. */
  async close(signal: AbortSignal): Promise<void> {
    for (const pending of [...this.#pending.values()])
      pending.fail(new BusError("BUS_CLOSED", "the bus closed while a request was open"));
    await this.#supervisor.close(signal);
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }
  source(): Source {
    return { kind: "inbox" };
  }
  window(): Window {
    return inboxWindow;
  }
  opened(): void {
    // its address is asked for with each request: it changes when the inbox comes back
  }
  revoked(which: unknown): void {
    if (which === "all")
      for (const pending of [...this.#pending.values()])
        pending.fail(
          new BusError("BUS_CONNECTION", "the connection was lost while a request was open", { retryable: true }),
        );
  }
  deliver(messages: readonly InMessage[]): void {
    this.#supervisor.consumption?.ack(messages);
    for (const message of messages) {
      const id = message.header(header.answerTo);
      if (id !== undefined) this.#pending.get(id)?.answer(message); // a late answer: nobody waits any more
    }
  }

  async #ready(): Promise<void> {
    await this.#supervisor.open();
    await this.#supervisor.running();
  }

  #withinLimits(work: Promise<void>, type: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(new BusError("BUS_ABORTED", `request "${type}": aborted by the caller`));
      const timer = this.#core.wheel.set(timeoutMs, () =>
        reject(
          new BusError("BUS_TIMEOUT", `request "${type}": not connected within ${timeoutMs} ms`, { retryable: true }),
        ),
      );
      if (signal?.aborted === true) abort();
      signal?.addEventListener("abort", abort, { once: true });
      work.then(resolve, reject).finally(() => {
        timer.cancel();
        signal?.removeEventListener("abort", abort);
      });
    });
  }

  #ask(
    type: string,
    envelope: Envelope,
    leftMs: number,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Envelope> {
    return new Promise((resolve, reject) => {
      const finish = (end: () => void): void => {
        if (!this.#pending.delete(envelope.id)) return;
        timer.cancel();
        signal?.removeEventListener("abort", abort);
        end();
      };
      const fail = (error: BusError): void => finish(() => reject(error));
      const abort = (): void => fail(new BusError("BUS_ABORTED", `request "${type}": aborted by the caller`));
      const timer = this.#core.wheel.set(leftMs, () => {
        this.#core.board.log("warn", "request timed out", { type, request: envelope.id, timeoutMs });
        fail(new BusError("BUS_TIMEOUT", `request "${type}": no answer within ${timeoutMs} ms`, { retryable: true }));
      });
      this.#pending.set(envelope.id, {
        fail,
        answer: (message) =>
          finish(() => {
            try {
              resolve(this.#read(type, message));
            } catch (error) {
              reject(error);
            }
          }),
      });
      if (signal?.aborted === true) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      const message = this.#publisher.message(
        this.#publisher.encode(envelope),
        { kind: "direct", topic: envelope.topic },
        false,
        {
          replyTo: this.#supervisor.consumption!.address!,
          expiresAt: this.#core.clock.now() + leftMs,
          headers: [[header.waitsMs, String(Math.ceil(leftMs) + graceMs)]],
        },
      );
      this.#outbound.send(message, { signal }).catch((error: unknown) => {
        const failed = error instanceof PublishError ? error : undefined;
        if (failed?.outcome === "unknown" && failed.code !== "BUS_NO_RESPONDER") return; // it may have arrived: the time-out decides
        fail(
          new BusError(
            failed?.code ?? "BUS_SERVER",
            failed?.code === "BUS_NO_RESPONDER"
              ? `request "${type}": nobody responds to it`
              : `request "${type}": ${(error as Error).message}`,
            { cause: error, retryable: true },
          ),
        );
      });
    });
  }

  #read(type: string, message: InMessage): Envelope {
    const code = message.header(header.errorCode);
    if (code === undefined) return open(this.#core, message);
    const name = unescaped(message.header(header.errorName) ?? "Error");
    const text = unescaped(message.header(header.errorMessage) ?? "");
    throw new RemoteError(`request "${type}": the responder failed: ${text}`, { code, name, message: text });
  }
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not ours, but still the best there is
  }
}
