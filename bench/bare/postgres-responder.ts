/** Answers the requests of postgres-request.ts with what they hold, until its parent lets go of it. */
import { notifyAll, openClient } from "./postgres-client.ts";
import { together } from "./together.ts";

const [url, channel = ""] = process.argv.slice(2);
const [client, listener] = await Promise.all([openClient(url), openClient(url)]);
const answer = together((bodies) => notifyAll(client, `${channel}_answers`, bodies));
listener.on("notification", ({ payload = "" }) => answer(JSON.stringify(JSON.parse(payload))));
await listener.query(`LISTEN ${channel}`);
process.once("disconnect", () => process.exit()); // an answer may be on its way
process.send!("ready");
