/** The other process of the request bench. */
import { connect } from "../../src/index.ts";
import type { Settings } from "../side.ts";
import { config, Echo, type Place } from "./bus.ts";

const [place = "", json = ""] = process.argv.slice(2);
const settings = JSON.parse(json) as Settings;
const bus = await connect(config(JSON.parse(place) as Place, settings));
await bus.respond(Echo, (data) => data, { concurrency: settings.window });
process.on("disconnect", () => void bus.close());
process.send?.("ready");
