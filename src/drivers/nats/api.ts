import type { Headers } from "../../driver.ts";
import type { ConsumerConfig, MessageQuery, NativeConsumer, NativeStream, PubAck, StreamConfig } from "./api-types.ts";
import type { ClientMessage } from "./client.ts";
import { ApiError, apiCode, isApiError, NoAnswer } from "./errors.ts";
import { encodeHeaders, parseHeaders, statusOf } from "./headers.ts";
import type { Session } from "./session.ts";

export interface StoredMsg {
  readonly subject: string;
  readonly sequence: number;
  /** Ms since the epoch. */
  readonly timeMs: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

interface Answer {
  readonly error?: { readonly err_code?: number; readonly code?: number; readonly description?: string };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const question = /^(?:STREAM\.(?:INFO|MSG\.GET)|CONSUMER\.INFO)\./;
const asks = 8;

/** `$JS.API`: JSON questions and answers. What is not there is undefined or false, all else rejects with `ApiError`. */
export class Api {
  readonly #session: Session;
  readonly #absent: () => void;
  /** What the driver keeps for itself; the bucket has those who watch it. */
  readonly #own: ReadonlySet<string>;

  /** `absent`: a stream that the driver keeps for itself is not there, or has no leader at the moment. */
  constructor(session: Session, absent: () => void) {
    const { letters, notes, parked, queue } = session.names;
    this.#session = session;
    this.#absent = absent;
    this.#own = new Set([letters, notes, parked, queue]);
  }

  async createStream(config: StreamConfig): Promise<NativeStream> {
    return await this.#call(`STREAM.CREATE.${config.name}`, config);
  }

  async updateStream(config: StreamConfig): Promise<NativeStream> {
    return await this.#call(`STREAM.UPDATE.${config.name}`, config);
  }

  async streamInfo(name: string, query?: { readonly subjects_filter?: string }): Promise<NativeStream | undefined> {
    return await unless(this.#call<NativeStream>(`STREAM.INFO.${name}`, query), apiCode.streamNotFound);
  }

  /** All of those that have subjects within this one. */
  async streams(subject?: string): Promise<readonly NativeStream[]> {
    return await this.#pages<NativeStream>("STREAM.LIST", subject === undefined ? {} : { subject }, "streams");
  }

  async streamNames(subject: string): Promise<readonly string[]> {
    return await this.#pages<string>("STREAM.NAMES", { subject }, "streams");
  }

  async deleteStream(name: string): Promise<boolean> {
    return await gone(this.#call(`STREAM.DELETE.${name}`), apiCode.streamNotFound);
  }

  /** How many went; up to but without `seq`. */
  async purge(
    stream: string,
    query: { readonly filter?: string; readonly seq?: number; readonly keep?: number } = {},
  ): Promise<number> {
    const answer = await unless(
      this.#call<{ readonly purged: number }>(`STREAM.PURGE.${stream}`, query),
      apiCode.streamNotFound,
    );
    return answer?.purged ?? 0;
  }

  /** From the stream's leader. */
  async message(stream: string, query: MessageQuery): Promise<StoredMsg | undefined> {
    const answer = await unless(
      this.#call<{
        readonly message: {
          readonly subject: string;
          readonly seq: number;
          readonly time: string;
          readonly hdrs?: string;
          readonly data?: string;
        };
      }>(`STREAM.MSG.GET.${stream}`, query),
      apiCode.noMessage,
    );
    if (answer === undefined) return undefined;
    const { subject, seq, time, hdrs, data } = answer.message;
    return {
      subject,
      sequence: seq,
      timeMs: Date.parse(time),
      headers: hdrs === undefined ? [] : parseHeaders(Buffer.from(hdrs, "base64").toString()),
      body: data === undefined ? new Uint8Array(0) : new Uint8Array(Buffer.from(data, "base64")),
    };
  }

  /** False: it was gone already. */
  async deleteMessage(stream: string, seq: number): Promise<boolean> {
    return await gone(
      this.#call(`STREAM.MSG.DELETE.${stream}`, { seq, no_erase: true }),
      apiCode.messageGone,
      apiCode.messageNotFound,
      apiCode.noMessage,
      apiCode.streamNotFound,
    );
  }

  async createConsumer(
    stream: string,
    config: ConsumerConfig,
    action: "create" | "update" = "create",
  ): Promise<NativeConsumer> {
    const name = config.name ?? config.durable_name;
    const subject = name === undefined ? `CONSUMER.CREATE.${stream}` : `CONSUMER.CREATE.${stream}.${name}`;
    return await this.#call(subject, { stream_name: stream, config: oneFilter(config), action });
  }

  async consumerInfo(stream: string, name: string): Promise<NativeConsumer | undefined> {
    return await unless(
      this.#call<NativeConsumer>(`CONSUMER.INFO.${stream}.${name}`),
      apiCode.consumerNotFound,
      apiCode.streamNotFound,
    );
  }

  async deleteConsumer(stream: string, name: string): Promise<boolean> {
    const once = async (): Promise<boolean> =>
      await gone(this.#call(`CONSUMER.DELETE.${stream}.${name}`), apiCode.consumerNotFound, apiCode.streamNotFound);
    try {
      return await once();
    } catch (error) {
      // 2.10 may write its state while it removes the folder: the consumer is gone, and the answer a failure
      if (!isApiError(error, apiCode.folderInUse)) throw error;
      return await once();
    }
  }

  async consumers(stream: string): Promise<readonly NativeConsumer[]> {
    const found = this.#pages<NativeConsumer>(`CONSUMER.LIST.${stream}`, {}, "consumers");
    return (await unless(found, apiCode.streamNotFound)) ?? [];
  }

  /** Stored, or rejected: `ApiError` when it certainly is not. */
  async publish(subject: string, body: Uint8Array, headers: Headers = []): Promise<PubAck> {
    const answer = await this.#session.ask(subject, body, headers.length === 0 ? undefined : encodeHeaders(headers));
    if (statusOf(answer) === 503) this.#absent();
    return pubAck(answer);
  }

  async #pages<Item>(call: string, query: object, member: string): Promise<readonly Item[]> {
    const items: Item[] = [];
    for (;;) {
      const page = await this.#call<Readonly<Record<string, unknown>>>(call, { ...query, offset: items.length });
      const found = (page[member] ?? []) as readonly Item[];
      items.push(...found);
      if (found.length === 0 || items.length >= (page["total"] as number)) return items;
    }
  }

  async #call<Result>(call: string, body?: object): Promise<Result> {
    const data = body === undefined ? undefined : encoder.encode(JSON.stringify(body));
    const answer = await (question.test(call)
      ? this.#askAgain(`$JS.API.${call}`, data)
      : this.#session.ask(`$JS.API.${call}`, data));
    try {
      return parsed<Result>(answer);
    } catch (error) {
      // who merely asks whether it is there makes nothing
      const asked = call.startsWith("STREAM.INFO.");
      if (!asked && isApiError(error, apiCode.streamNotFound) && call.split(".").some((each) => this.#own.has(each)))
        this.#absent();
      throw error;
    }
  }

  /** A cluster drops without a word what is asked of something that has no leader yet; the first answer counts. */
  #askAgain(subject: string, data: Uint8Array | undefined): Promise<ClientMessage> {
    const { clock, options } = this.#session;
    const until = clock.ticks() + options.requestTimeoutMs;
    return new Promise((resolve, reject) => {
      let timer: Disposable | undefined;
      let isOver = false;
      const end = (): void => {
        isOver = true;
        timer?.[Symbol.dispose]();
      };
      const ask = (times: number): void => {
        if (isOver) return;
        const answer = this.#session.ask(subject, data, undefined, Math.max(until - clock.ticks(), 1));
        answer.then(resolve, reject).finally(end);
        if (times < asks) timer = clock.after(options.requestTimeoutMs / asks, () => ask(times + 1));
      };
      ask(1);
    });
  }
}

/** 2.10 reads by a list of filters, even of one, five hundred times slower than by a single filter. */
function oneFilter({ filter_subjects, ...config }: ConsumerConfig): ConsumerConfig {
  if (filter_subjects === undefined) return config;
  return filter_subjects.length === 1
    ? { ...config, filter_subject: filter_subjects[0]! }
    : { ...config, filter_subjects };
}

/** The answer to a publish. Throws what the server refuses; no stream, or no leader at the moment, is a 503. */
export function pubAck(answer: ClientMessage): PubAck {
  return parsed<PubAck>(answer);
}

function parsed<Result>(answer: ClientMessage): Result {
  const status = statusOf(answer);
  if (status !== 0) throw new ApiError(0, status, status === 503 ? "nobody answers there" : "refused");
  let result: Answer;
  try {
    result = JSON.parse(decoder.decode(answer.data)) as Answer;
  } catch (cause) {
    throw new NoAnswer("the server's answer is no JSON", true, { cause });
  }
  const { error } = result;
  if (error !== undefined) throw new ApiError(error.err_code ?? 0, error.code ?? 500, error.description ?? "refused");
  return result as Result;
}

async function unless<Result>(call: Promise<Result>, ...codes: readonly number[]): Promise<Result | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isApiError(error, ...codes)) return undefined;
    throw error;
  }
}

async function gone(call: Promise<unknown>, ...codes: readonly number[]): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (isApiError(error, ...codes)) return false;
    throw error;
  }
}
