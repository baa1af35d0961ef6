import { Producer } from "@platformatic/kafka";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import type { Foreign, ForeignWorld } from "./broker-worlds.ts";
import { forgetTopics } from "./kafka-session.ts";
import { forgetPrefix, openSession } from "./rabbitmq-session.ts";
import { testBroker } from "./test-broker.ts";

type Pairs = readonly (readonly [string, string])[];

const bytes = (body: Foreign["body"]): Buffer => Buffer.from(body as string);
const unasked = (): Promise<never> => Promise.reject(new Error("no test asks for the names here"));

/** Messages in the exchange of a stream: the bus's headers are one text of theirs. */
export async function rabbitForeign(): Promise<ForeignWorld> {
  const broker = await testBroker("rabbitmq");
  return {
    name: "rabbitmq",
    broker,
    driver: (url = broker!.url) => rabbitmq({ url }),
    headers: (pairs) => JSON.stringify(pairs),
    write: async (prefix, messages) => {
      const session = await openSession(broker!.url, prefix);
      const exchange = session.names.stream("events");
      for (const { topic, body, partition = 0, headers } of messages)
        await session.own.put({ exchange, routingKey: `${partition}.${topic}` }, bytes(body), {
          deliveryMode: 2,
          ...(headers === undefined ? {} : { headers: { h: headers } }),
        });
      await session.close(AbortSignal.timeout(2_000));
    },
    namesOf: unasked,
    forget: (prefix) => forgetPrefix(broker!.url, prefix),
  };
}

/** Records in the topic of a stream, of which the first header says that it is ours. */
export async function kafkaForeign(): Promise<ForeignWorld> {
  const broker = await testBroker("kafka");
  return {
    name: "kafka",
    broker,
    driver: (url = broker!.url) => kafka({ brokers: url }),
    headers: (pairs) => JSON.stringify(pairs),
    write: async (prefix, messages) => {
      const producer = new Producer({
        clientId: "another-program",
        bootstrapBrokers: [`127.0.0.1:${broker!.servers[0]!.port}`],
      });
      try {
        await producer.send({
          messages: messages.map(({ topic, body, partition = 0, headers = "[]" }) => ({
            topic: `${prefix}.s.events`,
            partition,
            value: bytes(body),
            headers: new Map(
              ([["omnibus-topic", topic], ...(JSON.parse(headers) as Pairs)] as Pairs).map(([name, text]) => [
                Buffer.from(name),
                Buffer.from(text),
              ]),
            ),
          })),
        });
      } finally {
        await producer.close();
      }
    },
    namesOf: unasked,
    forget: (prefix) => forgetTopics(broker!, prefix),
  };
}
