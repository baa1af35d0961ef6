/** Answers the requests of nats-request.ts with what they hold, until its parent lets go of it. */
import { openClient } from "./nats-client.ts";

const [url, subject = ""] = process.argv.slice(2);
const client = await openClient(url);
client.subscribe(subject, { callback: (_, message) => void message.respond(JSON.stringify(message.json())) });
await client.flush();
process.once("disconnect", () => void client.close());
process.send!("ready");
