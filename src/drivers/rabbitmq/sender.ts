import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { AmqpFields, AmqpProperties } from "./client.ts";
import type { Outcome } from "./confirms.ts";
import type { Definitions } from "./definitions.ts";
import type { Delays } from "./delayed.ts";
import { closedError, notConnected } from "./errors.ts";
import type { QueueLanes } from "./queue-lanes.ts";
import { framed, tooLarge } from "./refused-publish.ts";
import type { Room } from "./room.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams.ts";
import { encodeHeaders, expirationOf, openProperties, storedProperties, wireHeaders } from "./wire.ts";

/** A routing key holds 255 bytes, the partition among them. */
const longestTopic = 251;

/** Publishes: each message completes by the server's confirm, or by what came instead. */
export class Sender {
  readonly #session: Session;
  readonly #definitions: Definitions;
  readonly #delays: Delays;
  readonly #lanes: QueueLanes;
  readonly #room: Room;
  readonly #streams: Streams;
  readonly #looking = new Set<string>();

  constructor(
    session: Session,
    definitions: Definitions,
    streams: Streams,
    delays: Delays,
    lanes: QueueLanes,
    room: Room,
  ) {
    this.#session = session;
    this.#definitions = definitions;
    this.#delays = delays;
    this.#lanes = lanes;
    this.#room = room;
    this.#streams = streams;
  }

  send(batch: readonly OutMessage[]): void {
    for (const message of batch) {
      const problem = this.#problem(message);
      if (problem === undefined) this.#send(message);
      else message.failed("no", problem);
    }
  }

  #problem({ to, body, notBefore }: OutMessage): DriverError | undefined {
    const session = this.#session;
    if (session.closed) return closedError();
    if (!session.isUp) return notConnected();
    const most = session.maxMessageBytes;
    if (body.byteLength > most) return tooLarge(most);
    if (to.kind !== "inbox" && Buffer.byteLength(to.topic) > longestTopic)
      return new DriverError("BUS_UNSUPPORTED", `rabbitmq: a topic may have at most ${longestTopic} bytes`);
    if (to.kind === "topic") {
      const stream = this.#definitions.streams.get(to.stream);
      if (stream === undefined) return new DriverError("BUS_NOT_FOUND", `stream (${to.stream}): there is none`);
      if (body.byteLength > stream.maxBytes)
        return new DriverError("BUS_FULL", `stream (${to.stream}): the message is larger than all that it may hold`);
    }
    if ((to.kind === "direct" || to.kind === "inbox") && notBefore !== undefined && notBefore > session.clock.now())
      return new DriverError("BUS_UNSUPPORTED", "rabbitmq: what is stored nowhere can't be delayed");
    return undefined;
  }

  #send(message: OutMessage): void {
    const { to, notBefore } = message;
    const { names, clock } = this.#session;
    switch (to.kind) {
      case "topic": {
        const stream = this.#definitions.streams.get(to.stream)!;
        const place = `${message.hash % stream.partitions}.${to.topic}`;
        if (notBefore !== undefined && notBefore > clock.now()) {
          this.#delays.toStream(
            message,
            stream.name,
            place,
            outcomeOf(message, () => nowhere(to.stream)),
          );
          return;
        }
        this.#room.enter(stream, message.body.byteLength, (refusal) => {
          if (refusal !== undefined) return message.failed("no", refusal);
          const { attached } = stream;
          this.#session.events.publish(
            attached === undefined
              ? { exchange: names.stream(stream.name), routingKey: place }
              : { exchange: attached.name, routingKey: to.topic },
            message.body,
            attached === undefined
              ? storedProperties(message, clock.now(), undefined, stream.maxAgeMs)
              : openProperties(message, clock.now()),
            true,
            new Stored(this, message, stream.name),
          );
        });
        return;
      }
      case "queue":
        void this.#lanes.send(message, to.group, `${message.hash % 16}.${to.topic}`);
        return;
      case "direct":
        return this.#sendDirect(message, to.topic);
      case "inbox":
        this.#publishDirect({ exchange: "", routingKey: to.address }, message, true, () => {
          return new DriverError("BUS_NOT_FOUND", "rabbitmq: nobody waits for this answer any more");
        });
    }
  }

  /** What nobody keeps, or what closed the channel, may be a stream that was deleted behind us. */
  look(stream: string): void {
    if (this.#looking.has(stream) || this.#session.closed) return;
    this.#looking.add(stream);
    this.#streams
      .heal(stream)
      .catch(() => undefined) // the next one that fails looks again
      .finally(() => this.#looking.delete(stream));
  }

  get isUp(): boolean {
    return this.#session.isUp;
  }

  #sendDirect(message: OutMessage, topic: string): void {
    const { names } = this.#session;
    const isRequest = message.replyTo !== undefined;
    this.#publishDirect(
      { exchange: names.own(isRequest ? "r" : "e"), routingKey: topic },
      message,
      isRequest,
      () => new DriverError("BUS_NO_RESPONDER", `rabbitmq: nobody listens to "${topic}"`),
    );
  }

  #publishDirect(to: AmqpFields, message: OutMessage, mandatory: boolean, refusal: () => DriverError): void {
    const { clock, direct } = this.#session;
    const left = message.expiresAt === undefined ? undefined : expirationOf(message.expiresAt - clock.now());
    const properties: AmqpProperties = {
      messageId: message.brokerId,
      deliveryMode: 1,
      ...(left === undefined ? {} : { expiration: left }),
      headers: wireHeaders({
        k: message.key,
        e: message.expiresAt,
        h: encodeHeaders(message.headers),
        r: message.replyTo,
      }) as Readonly<Record<string, unknown>>,
    };
    direct.publish(to, message.body, properties, mandatory, {
      ...outcomeOf(message, refusal),
      nacked: () => message.failed("no", refusal()), // its one queue is just being deleted with its owner
    });
  }
}

const nowhere = (stream: string): DriverError =>
  new DriverError("BUS_NOT_FOUND", `stream (${stream}): nothing keeps what is published to it`, { retryable: true });

/** How a publish ends. */
function outcomeOf(message: OutMessage, returned: () => DriverError): Outcome {
  return {
    stored: () => message.stored(),
    returned: () => message.failed("no", returned()),
    nacked: () => nacked(message),
    lost: (written, error) => lost(message, written, error),
  };
}

/** The same of a publish into a stream; an object of its own for each, without functions of its own. */
class Stored implements Outcome {
  readonly #sender: Pick<Sender, "look" | "isUp">;
  readonly #message: OutMessage;
  readonly #stream: string;

  constructor(sender: Pick<Sender, "look" | "isUp">, message: OutMessage, stream: string) {
    this.#sender = sender;
    this.#message = message;
    this.#stream = stream;
  }

  stored(): void {
    this.#message.stored();
  }

  returned(): void {
    this.#sender.look(this.#stream);
    this.#message.failed("no", nowhere(this.#stream));
  }

  nacked(): void {
    nacked(this.#message);
  }

  lost(written: boolean, error: unknown): void {
    if (written && this.#sender.isUp) this.#sender.look(this.#stream);
    lost(this.#message, written, error);
  }
}

/** One queue has no room, the others have it. */
function nacked(message: OutMessage): void {
  message.failed("unknown", new DriverError("BUS_FULL", "rabbitmq: a queue has no room", { retryable: true }));
}

function lost(message: OutMessage, written: boolean, error: unknown): void {
  message.failed(written ? "unknown" : "no", framed(error) ?? error);
}
