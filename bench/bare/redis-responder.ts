/** Answers the requests of redis-request.ts with what they hold, until its parent lets go of it. */
import { openClient } from "./redis-client.ts";

const [url, channel = ""] = process.argv.slice(2);
const [client, subscriber] = await Promise.all([openClient(url), openClient(url)]);
await subscriber.subscribe(channel, (text) => {
  const request: unknown = JSON.parse(text);
  void client.publish(`${channel}:answers`, JSON.stringify(request));
});
process.once("disconnect", () => void Promise.all([client.close(), subscriber.close()]));
process.send!("ready");
