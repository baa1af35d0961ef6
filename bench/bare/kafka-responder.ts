/** Answers the requests of kafka-request.ts with what they hold, until its parent lets go of it. */
import { openSender } from "./kafka-client.ts";
import { openReader } from "./kafka-reader.ts";
import { together } from "./together.ts";

const [url, requests = "", answers = ""] = process.argv.slice(2);
const sender = openSender(url, answers);
const { stream, close } = await openReader(url, requests);
const answer = together((bodies) => sender.send(bodies));
stream.on("data", (message) => answer(JSON.stringify(JSON.parse(message.value.toString()))));
process.once("disconnect", () => void Promise.all([close(), sender.close()]));
process.send!("ready");
