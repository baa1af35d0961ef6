/** Publish and subscribe. `node examples/01-hello.ts [url]`, memory unless a url is given. */
import { connect, defineEvent, typed } from "../src/index.ts"; // in your project: from "omnibus"

const Greeted = defineEvent("greetings.sent", { schema: typed<{ name: string }>() });

const bus = await connect(process.argv[2] ?? "memory:");
const greeted = Promise.withResolvers<string>();
await bus.subscribe(Greeted, (event) => greeted.resolve(event.data.name), { group: "greeters" });

const receipt = await bus.publish(Greeted, { name: "world" });
console.log(`${receipt.driver} has it: ${receipt.id}`);

const name = await greeted.promise;
await bus.close();
console.log(`hello, ${name}`);
