import { DriverError } from "../../internal/driver-error.ts";
import type { AmqpArguments } from "./client.ts";
import { delaySteps } from "./delays.ts";
import { isMissing } from "./errors.ts";
import type { Session } from "./session.ts";

/**
 * A quorum queue. Without a limit of deliveries 3.10 puts what is returned at the tail, with -1 even what a closed channel returns,
 * and 4.0 has a limit of 20 by itself.
 */
export const quorum = (more: AmqpArguments = {}): AmqpArguments => ({
  "x-queue-type": "quorum",
  "x-delivery-limit": 1_000_000,
  ...more,
});

export const letterArguments = (bytes: number): AmqpArguments => ({
  "x-queue-type": "stream",
  "x-max-length-bytes": bytes,
  "x-stream-max-segment-size-bytes": 100_000_000,
});
export const scheduleArguments: AmqpArguments = {
  "x-queue-type": "stream",
  "x-max-age": "60D",
  "x-max-length-bytes": 1_073_741_824,
};
export const noteArguments: AmqpArguments = {
  "x-queue-type": "stream",
  "x-max-age": "30D",
  "x-max-length-bytes": 268_435_456,
  "x-stream-max-segment-size-bytes": 16_000_000,
};

const exchanges = { q: "direct", e: "topic", r: "topic", m: "topic", y: "fanout", w: "topic" } as const;
const mostStranded = 1_000;
/** Any bits of a delay. */
export const anyDelay: string = Array.from({ length: delaySteps }, () => "*").join(".");

/** What there is once, whatever streams and groups there are. */
export async function declareOwn(session: Session): Promise<void> {
  const { names, context } = session;
  const list = Object.entries(exchanges) as [keyof typeof exchanges, string][];
  if (context.manage === "off") return;
  if (context.manage === "verify") {
    for (const [duty] of list) await checked(session, names.own(duty));
    return;
  }
  await Promise.all([
    session.askEach(list, (channel, [duty, type]) =>
      channel.assertExchange(names.own(duty), type, {
        durable: true,
        // without a way out 32 delays that belong nowhere would stop all that come after them
        ...(duty === "w" ? { alternateExchange: names.own("y") } : {}),
      }),
    ),
    session.ask((channel) =>
      channel.assertQueue(names.own("y"), {
        durable: true,
        arguments: { "x-max-length": mostStranded, "x-overflow": "drop-head" },
      }),
    ),
    session.ask((channel) => channel.assertQueue(names.own("j"), { durable: true, arguments: quorum() })),
    session.ask((channel) =>
      channel.assertQueue(names.own("z"), { durable: true, arguments: quorum({ "x-single-active-consumer": true }) }),
    ),
  ]);
  await session.ask(async (channel) => {
    await channel.bindQueue(names.own("z"), names.own("w"), `${anyDelay}.s`);
    await channel.bindQueue(names.own("y"), names.own("y"), "");
  });
}

async function checked(session: Session, exchange: string): Promise<void> {
  try {
    await session.ask((channel) => channel.checkExchange(exchange));
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new DriverError(
      "BUS_NOT_FOUND",
      `rabbitmq: there is no exchange "${exchange}"; connect once with "manage": "create"`,
      { cause: error },
    );
  }
}
