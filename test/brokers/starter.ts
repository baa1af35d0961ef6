/** Starts a broker, says its url, and stays until it is killed. */
import { type BrokerName } from "../../scripts/brokers/broker-name.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";

const [name = "nats", how] = process.argv.slice(2);
const broker = await startBroker(name as BrokerName, { own: true });
console.log(broker.url);
if (how === "exit") process.exit(3);
if (how === "throw") throw new Error("as told");
setInterval(() => {}, 60_000);
