import type { RequestContext } from "./bus.ts";
import type { Core } from "./core.ts";
import { causedBy } from "./context.ts";
import { Counters } from "./counters.ts";
import type { Headers, InMessage } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { BusError, isBusError, ValidationError } from "./errors.ts";
import type { Receiver } from "./fan-out.ts";
import { Fifo } from "./internal/fifo.ts";
import type { Outbound } from "./outbound.ts";
import type { Publisher } from "./publisher.ts";
import { open } from "./receiving.ts";
import { ReceivedEvent } from "./received-event.ts";
import type { RequestDefinition } from "./request-definition.ts";
import { check } from "./schema-check.ts";
import { errorFields } from "./status-board.ts";
import { header } from "./wire-names.ts";
import { reasonOf, redact, textOf } from "./wrap-error.ts";

type Answer = (data: unknown, context: RequestContext) => unknown;

/** Answers the requests of one definition. Every request gets an answer or an error; what comes too late for either is dropped. */
export class Responder implements Receiver {
  readonly patterns: readonly string[];
  readonly answers = true;
  readonly counters: Counters = new Counters();
  readonly #core: Core;
  readonly #publisher: Publisher;
  readonly #outbound: Outbound;
  readonly #definition: RequestDefinition;
  readonly #answer: Answer;
  readonly #concurrency: number;
  readonly #waiting = new Fifo<{ readonly message: InMessage; readonly until: number | undefined }>();
  readonly #running = new Set<AbortController>();
  readonly #idle: (() => void)[] = [];
  #paused = false;
  #stopped = false;

  constructor(
    core: Core,
    publisher: Publisher,
    outbound: Outbound,
    definition: RequestDefinition,
    answer: Answer,
    concurrency: number,
  ) {
    this.#core = core;
    this.#publisher = publisher;
    this.#outbound = outbound;
    this.#definition = definition;
    this.#answer = answer;
    this.#concurrency = concurrency;
    this.patterns = [definition.type];
  }

  get running(): number {
    return this.#running.size;
  }
  get paused(): boolean {
    return this.#paused;
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    this.taken();
  }

  take(message: InMessage): void {
    if (this.#stopped) return;
    const waitsMs = Number(message.header(header.waitsMs) ?? Number.NaN);
    this.#waiting.push({ message, until: waitsMs > 0 ? this.#core.clock.ticks() + waitsMs : undefined });
  }

  taken(): void {
    while (!this.#paused && this.#running.size < this.#concurrency && this.#waiting.length > 0) {
      const { message, until } = this.#waiting.shift()!;
      const leftMs = until === undefined ? undefined : until - this.#core.clock.ticks();
      if (leftMs === undefined || leftMs > 0) void this.#respond(message, leftMs);
      else this.#core.board.log("warn", "request dropped, nobody waits for it", { type: this.#definition.type });
    }
  }

  /** Resolves when no request is being answered; those that wait are left to their requesters' time-outs. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.remove(() => true);
    return this.#running.size === 0 ? Promise.resolve() : new Promise((resolve) => void this.#idle.push(resolve));
  }

  abort(reason: unknown): void {
    for (const controller of this.#running) controller.abort(reason);
  }

  async #respond(message: InMessage, leftMs: number | undefined): Promise<void> {
    const controller = new AbortController();
    const waiting =
      leftMs === undefined
        ? undefined
        : this.#core.wheel.set(leftMs, () =>
            controller.abort(new BusError("BUS_TIMEOUT", "the requester has stopped waiting")),
          );
    this.#running.add(controller);
    const both = [this.counters, this.#core.counters];
    const startedAt = (this.counters.delivered & 15) === 0 ? this.#core.clock.ticks() : undefined;
    for (const counters of both) {
      counters.delivered += 1;
      counters.inFlight += 1;
      counters.lastDeliveryAt = this.#core.clock.now();
    }
    let request: Envelope | undefined;
    let answer: unknown;
    let failure: { readonly error: unknown } | undefined;
    try {
      request = open(this.#core, message);
      const event = new ReceivedEvent(request, request.data);
      const data: unknown = await check(this.#definition.request, request.data, `request "${this.#definition.type}"`);
      answer = await causedBy(event, this.#answer, data, { request: event, signal: controller.signal });
      await check(this.#definition.response, answer, `the answer to "${this.#definition.type}"`);
      for (const counters of both) counters.handled += 1;
    } catch (error) {
      failure = { error };
      for (const counters of both) {
        counters.failed += 1;
        counters.lastErrorAt = this.#core.clock.now();
      }
      this.#core.board.log("warn", "responder failed", {
        type: this.#definition.type,
        request: request?.id,
        ...errorFields(error),
      });
    }
    for (const counters of both) {
      counters.inFlight -= 1;
      if (startedAt !== undefined) counters.tookMs(this.#core.clock.ticks() - startedAt);
    }
    await this.#reply(message, request, answer, failure);
    waiting?.cancel();
    this.#running.delete(controller);
    this.taken();
    if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #reply(
    message: InMessage,
    request: Envelope | undefined,
    answer: unknown,
    failure: { readonly error: unknown } | undefined,
  ): Promise<void> {
    if (request === undefined) return; // unreadable: it has no id that an answer could carry
    try {
      await this.#send(
        message,
        request,
        failure === undefined ? answer : null,
        failure === undefined ? [] : errorHeaders(failure.error),
      );
    } catch (error) {
      if (
        failure === undefined &&
        isBusError(error) &&
        (error.code === "BUS_INVALID_DATA" || error.code === "BUS_TOO_LARGE")
      )
        return this.#reply(message, request, undefined, { error });
      this.#core.board.log("warn", "answer not delivered", {
        type: this.#definition.type,
        request: request.id,
        ...errorFields(error),
      });
    }
  }

  async #send(message: InMessage, request: Envelope, data: unknown, headers: Headers): Promise<void> {
    const reply: Envelope = {
      id: this.#core.ids.next(),
      type: `${request.type}.reply`,
      version: 1,
      topic: request.topic,
      source: this.#core.options.name,
      time: this.#core.clock.now(),
      key: undefined,
      session: request.session,
      correlationId: request.correlationId ?? request.id,
      causationId: request.id,
      priority: "normal",
      metadata: undefined,
      maxAttempts: undefined,
      data: data === undefined ? null : data,
    };
    const encoded = this.#publisher.encode(reply);
    await this.#outbound.send(
      this.#publisher.message(encoded, { kind: "inbox", address: message.replyTo! }, false, {
        headers: [...headers, [header.answerTo, request.id]],
      }),
      undefined,
    );
  }
}

function errorHeaders(error: unknown): Headers {
  const name = textOf(error, "name") ?? typeof error;
  const code = isBusError(error) ? error.code : "BUS_HANDLER";
  const issues =
    error instanceof ValidationError
      ? `: ${error.issues.map(({ path, message }) => `${path.map(String).join(".")} ${message}`).join("; ")}`
      : "";
  return [
    [header.errorCode, code],
    [header.errorName, encodeURIComponent(name.slice(0, 100).toWellFormed())],
    [header.errorMessage, encodeURIComponent(`${redact(reasonOf(error))}${issues}`.slice(0, 1_024).toWellFormed())],
  ];
}
