/** Answers the requests of rabbitmq-request.ts with what they hold, until its parent lets go of it. */
import { openClient } from "./rabbitmq-client.ts";

const [url, queue = ""] = process.argv.slice(2);
const client = await openClient(url);
const channel = await client.createChannel();
await channel.assertQueue(queue, { exclusive: true, autoDelete: true });
await channel.consume(
  queue,
  (message) => {
    const { replyTo, correlationId } = message!.properties as {
      readonly replyTo: string;
      readonly correlationId: string;
    };
    const answer = JSON.stringify(JSON.parse(message!.content.toString()));
    channel.sendToQueue(replyTo, Buffer.from(answer), { correlationId });
  },
  { noAck: true },
);
process.once("disconnect", () => void client.close());
process.send!("ready");
